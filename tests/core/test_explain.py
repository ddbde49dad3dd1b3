"""Every outcome has words and a remedy, and no words have a secret."""

from __future__ import annotations

import pytest

from gateway.core import outcome as o
from gateway.core.explain import problem
from gateway.types import Outcome, Provider, UpstreamError

NOTHING = UpstreamError()
LOCAL = Provider("box", "ollama", "http://127.0.0.1:11434/v1", local=True)
KEY = "sk-secret-0123456789"
REMOTE = Provider("acme", "openai", "https://acme.test/v1", ((b"authorization", b"Bearer " + KEY.encode()),))


@pytest.mark.parametrize(
    ("outcome", "provider", "said", "status", "text"),
    [
        (o.BAD_CREDENTIAL, REMOTE, NOTHING, 401, "acme did not accept the key (HTTP 401); check its api_key"),
        (o.RATE_LIMITED, REMOTE, UpstreamError(retry_after_s=7.4), 429,
         "acme limits the rate (HTTP 429); wait 7 s, then try again"),
        (o.RATE_LIMITED, REMOTE, NOTHING, None, "acme limits the rate; wait, then try again"),
        (o.NO_CONNECT, LOCAL, NOTHING, None,
         "box cannot be reached; is its server running at http://127.0.0.1:11434/v1?"),
        (o.NO_CONNECT, REMOTE, UpstreamError("no such host"), None,
         "acme cannot be reached (no such host); check its base_url (https://acme.test/v1) and this machine's network"),
        (o.MODEL_MISSING, REMOTE, UpstreamError("no m"), 404,
         "acme does not serve m there (HTTP 404: no m); choose another model, or check the base_url"),
        (o.HUNG_UP, REMOTE, NOTHING, None,
         "acme: hung_up; try again later, or let the role fall back to another model"),
    ],
)  # fmt: skip
def test_what_happened_and_what_to_do(
    outcome: Outcome, provider: Provider, said: UpstreamError, status: int | None, text: str
) -> None:
    found = problem(outcome, provider, "m", said, status=status)
    assert str(found) == text
    assert found.outcome == outcome.name


def test_the_provider_may_repeat_its_key() -> None:
    """And it is not repeated to whoever reads the explanation."""
    said = UpstreamError(f"Incorrect API key provided: {KEY}")
    found = problem(o.BAD_CREDENTIAL, REMOTE, "m", said, status=401, key="OPENAI_API_KEY")
    assert KEY not in str(found)
    assert "Incorrect API key provided" in found.message
    assert found.remedy == "check OPENAI_API_KEY"
