"""The shape of gateway.yaml as pydantic models, a section a module. Imported only when a file is read."""

from __future__ import annotations

from gateway.config.shape.defaults import Defaults, Timeouts
from gateway.config.shape.experiments import Arm, Experiment, Mirror
from gateway.config.shape.file import File, schema
from gateway.config.shape.names import Alias, Role, RouteCache, Target
from gateway.config.shape.prices import Price, PriceHours, PriceTier, Rates
from gateway.config.shape.providers import Provider, Quirks
from gateway.config.shape.rules import Rule, ScoreSpan, TokenSpan, When
from gateway.config.shape.server import Cors, Server, ServerTimeouts
from gateway.config.shape.spending import Budget, Ledger
from gateway.config.shape.strict import Strict
from gateway.config.shape.upkeep import Alerts, Cache, Stores

__all__ = [
    "Alerts",
    "Alias",
    "Arm",
    "Budget",
    "Cache",
    "Cors",
    "Defaults",
    "Experiment",
    "File",
    "Ledger",
    "Mirror",
    "Price",
    "PriceHours",
    "PriceTier",
    "Provider",
    "Quirks",
    "Rates",
    "Role",
    "RouteCache",
    "Rule",
    "ScoreSpan",
    "Server",
    "ServerTimeouts",
    "Stores",
    "Strict",
    "Target",
    "Timeouts",
    "TokenSpan",
    "When",
    "schema",
]
