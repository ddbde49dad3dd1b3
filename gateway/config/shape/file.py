"""The whole of gateway.yaml."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gateway.config import notations as n
from gateway.config.shape.defaults import Defaults
from gateway.config.shape.experiments import Experiment
from gateway.config.shape.names import Alias, Role
from gateway.config.shape.providers import Provider
from gateway.config.shape.rules import Rule
from gateway.config.shape.server import Server
from gateway.config.shape.spending import Budget, Ledger
from gateway.config.shape.strict import Strict
from gateway.config.shape.upkeep import Alerts, Cache, Stores


class File(Strict):
    """The configuration of the gateway."""

    server: Server = Field(default=Server(), description="Where and how the gateway listens.")
    defaults: Defaults = Field(default=Defaults(), description="Defaults, which other sections may override.")
    providers: dict[str, Provider] = Field(default={}, description="Name -> endpoint that serves models.")
    models: dict[str, Alias] = Field(default={}, description="Alias -> model.")
    roles: dict[str, Role] = Field(default={}, description="Job -> models for it. Clients write role:NAME.")
    fallback: dict[str, list[str]] = Field(
        default={},
        description="Alias -> models that step in, if a client uses the alias itself or a role that only renames it.",
    )
    presets: dict[str, n.Params] = Field(default={}, description="Name -> parameters that roles and aliases refer to.")
    rules: list[Rule] = Field(
        default=[], description="Rules that send requests to another model. The first that holds decides."
    )
    experiments: dict[n.Arm, Experiment] = Field(default={}, description="Name -> comparison of models or parameters.")
    ledger: Ledger = Field(default=Ledger(), description="The record of every call.")
    budgets: list[Budget] = Field(default=[], description="Limits on spending. All that apply count.")
    alerts: Alerts = Field(default=Alerts(), description="Which troubles are posted, and where.")
    stores: Stores = Field(default=Stores(), description="Where lasting state is stored.")
    cache: Cache = Field(default=Cache(), description="The response cache.")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of gateway.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gateway.yaml",
        **File.model_json_schema(),
    }
