"""`gateway check --online` compares the configuration with what the providers say, and runs no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.cli.online import finding, is_listed
from gateway.types import Provider
from gateway.upstream.ask import Listing
from tests.cli.command import gateway_async
from tests.faults import FaultyUpstream, error_json, json_answer, refuse_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Request, Script


@pytest.mark.parametrize(
    ("model", "listed", "known"),
    [
        ("a", ["a"], True),
        ("a", ["b"], False),
        ("gemma3", ["gemma3:latest"], True),  # Ollama
        ("gemma3", ["gemma3:4b"], False),
        ("models/gemini-3", ["gemini-3"], True),
        ("x/y:nitro", ["x/y"], True),  # OpenRouter: how to route, not what
        ("x/y:free", ["x/y"], False),  # OpenRouter: another model
        ("claude-sonnet-5", ["claude-sonnet-5-20260301"], True),
        ("claude-sonnet-5", ["claude-sonnet-5-mini"], False),
    ],
)
def test_is_listed(model: str, listed: list[str], known: bool) -> None:
    """A model may be asked for under a name that is not in the list."""
    assert is_listed(model, listed) is known


def shop(kind: str = "openai", *, key: bool = True) -> Provider:
    return Provider("shop", kind, "https://shop.example/v1", headers=((b"authorization", b"Bearer k"),) if key else ())


@pytest.mark.parametrize(
    ("provider", "listing", "configured", "problem", "detail"),
    [
        (shop(), Listing(None, 0.1, 200, ("a", "b"), key_accepted=True), ["a"], "",
         "answers in 100 ms, 2 models listed, key accepted"),
        (shop(), Listing(None, 1.25, 200, ("a",)), [], "",
         "answers in 1.2 s, 1 model listed, whether the key is good only a call can tell (`gateway test`)"),
        (shop(key=False), Listing(None, 0.1, 200, ("a",)), [], "", "answers in 100 ms, 1 model listed"),
        (shop(key=False), Listing(None, 0.1, 200, ("gpt-5-mini",)), ["gpt-5-mino"],
         'no model "gpt-5-mino", perhaps "gpt-5-mini"?',
         'no model "gpt-5-mino", perhaps "gpt-5-mini"?, answers in 100 ms, 1 model listed'),
        (shop("azure", key=False), Listing(None, 0.1, 200, ("gpt-5",)), ["mine"], "",
         "answers in 100 ms, 1 model listed, not in the list, which need not mean anything: mine"),
        (shop(), Listing(None, 0.1, 404, offered=False), ["a"], "",
         "it has no list of models that is free, so nothing was compared"),
    ],
)  # fmt: skip
def test_findings(provider: Provider, listing: Listing, configured: list[str], problem: str, detail: str) -> None:
    """What the list says about the configuration, in a line."""
    found = finding(provider, listing, configured)
    assert (found.problem, found.detail) == (problem, detail)
    assert found.verdict == ("FAILED" if problem else "ok")
    assert found.as_json()["ok"] is (problem == "")


async def test_check_online(tmp_path: Path) -> None:
    """Every usable provider is asked for its list and for nothing that costs; one that disagrees makes status 1."""

    def picky(request: Request) -> Script:
        known = request.headers.get("authorization") == "Bearer sk-good-0123456789"
        return json_answer({"data": [{"id": "a"}]}) if known else error_json(401)

    async with FaultyUpstream(picky) as upstream:
        with refuse_port() as port:
            (tmp_path / "gateway.yaml").write_text(
                "providers:\n"
                f"  good: {{base_url: '{upstream.base_url}', api_key: sk-good-0123456789, models: [a]}}\n"
                f"  bad: {{base_url: '{upstream.base_url}', api_key: sk-bad-0123456789}}\n"
                f"  lacks: {{base_url: '{upstream.base_url}', api_key: sk-good-0123456789, models: [b]}}\n"
                f"  gone: {{kind: llamacpp, base_url: 'http://127.0.0.1:{port}/v1'}}\n"
                "  openai: {api_key: ''}\n"
            )
            done = await gateway_async("check", "--online", cwd=tmp_path)
            told = await gateway_async("check", "--online", "--json", cwd=tmp_path)
        assert (done.status, told.status, done.err) == (1, 1, "")
        lines = {line.split()[0]: line for line in done.out.splitlines()[3:7]}
        assert "ok" in lines["good"]
        assert "key accepted" in lines["good"]
        assert "bad did not accept the key (HTTP 401: scripted); check its api_key" in lines["bad"]
        assert 'no model "b"' in lines["lacks"]
        assert "gone cannot be reached" in lines["gone"]
        assert "is its server running at http://127.0.0.1:" in lines["gone"]
        assert done.out.endswith("1 passed, 3 failed\n")
        assert "sk-" not in done.out
        assert [one["ok"] for one in told.json["online"]] == [True, False, False, False]
        assert {request.method for request in upstream.requests} == {"GET"}


async def test_check_online_when_all_is_well(tmp_path: Path) -> None:
    async with FaultyUpstream(json_answer({"data": [{"id": "a"}]})) as upstream:
        (tmp_path / "gateway.yaml").write_text(f"providers: {{good: {{base_url: '{upstream.base_url}', models: [a]}}}}")
        done = await gateway_async("check", "--online", cwd=tmp_path)
        assert done.status == 0
        assert done.out.endswith("1 passed, 0 failed\n")
