"""Status and type of a refusal agree, wherever it is made: agents decide by the type whether to try again."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import gateway
from gateway.errors import NoCandidate, Refusal, UpstreamsFailed, type_of


def refusals() -> list[type[Refusal]]:
    """Every class of refusals that there is."""
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, todo = [], [Refusal]
    while todo:
        found.append(todo.pop())
        todo += found[-1].__subclasses__()
    return found


OF_CLIENTS = {"invalid_request_error", "authentication_error", "permission_error"}
OF_LIMITS = {"rate_limit_error", "insufficient_quota", "requests", "tokens"}
OF_SERVERS = {"server_error", "upstream_error"}


def allowed(status: int) -> set[str]:
    return OF_SERVERS if status >= 500 else OF_LIMITS if status == 429 else OF_CLIENTS


@pytest.mark.parametrize("kind", refusals(), ids=lambda kind: kind.__name__)
def test_a_class_says_what_its_status_says(kind: type[Refusal]) -> None:
    """By itself."""
    assert kind("no").type in allowed(kind.status)


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 426, 429, 431, 500, 502, 503, 504]
)
@pytest.mark.parametrize("kind", refusals(), ids=lambda kind: kind.__name__)
def test_another_status_brings_its_type(kind: type[Refusal], status: int) -> None:
    """Also where the status is only known when the refusal is made."""
    refusal = kind("no", status=status)
    assert refusal.status == status
    assert refusal.type in allowed(status)


@pytest.mark.parametrize(
    ("refusal", "type_"),
    [
        (NoCandidate("no"), "server_error"),
        (NoCandidate("no", status=400), "invalid_request_error"),
        (UpstreamsFailed("no"), "upstream_error"),
        (UpstreamsFailed("no", status=504), "upstream_error"),
        (UpstreamsFailed("no", status=400), "invalid_request_error"),
        (UpstreamsFailed("no", status=429), "rate_limit_error"),
        (Refusal("no", status=429), "rate_limit_error"),
        (Refusal("no", status=403), "permission_error"),
        (Refusal("no", status=503), "server_error"),
    ],
)
def test_types(refusal: Refusal, type_: str) -> None:
    """OpenAI's words."""
    assert refusal.type == type_


def test_type_of() -> None:
    """Every status has one."""
    assert all(type_of(status) in allowed(status) for status in range(400, 600))
