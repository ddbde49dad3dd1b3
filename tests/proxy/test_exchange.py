"""A call's way through the gateway, over real sockets."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.core import outcome as o
from gateway.core.allowance import Allowance
from gateway.types import Attempt
from tests.faults import (
    Client,
    FaultyUpstream,
    Pause,
    Reset,
    chat,
    chat_json,
    chat_stream,
    error_json,
    like_openai,
    refuse_port,
    request,
)
from tests.proxy.ledgered import ledgered
from tests.proxy.scene import ask, config, exchange_is_over
from tests.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving import Running

TWO = """
providers:
  first:  {{kind: openai-compatible, base_url: "{first}"}}
  second: {{kind: openai-compatible, base_url: "{second}"}}
models:
  main: first/a
roles:
  rlm: {{models: [main, second/b]}}
"""


async def test_the_answer_and_the_request_pass_unchanged() -> None:
    """Outside the value of `model` not a byte differs."""
    async with FaultyUpstream(like_openai("Hel", "lo")) as upstream:
        yaml = TWO.format(first=upstream.base_url, second=upstream.base_url)
        async with serving(yaml) as running, Client(running.port) as client:
            await client.send(chat("Hi", model="role:rlm"))
            response = await client.response()
            assert response.status == 200
            assert response.headers["x-gateway-route"] == "role:rlm"
            assert response.headers["x-gateway-provider"] == "first"
            assert response.headers["x-gateway-model"] == "a"
            assert response.headers["x-gateway-attempts"] == "1"
            assert upstream.requests[0].json["model"] == "a"


async def test_a_refused_connection_is_invisible() -> None:
    """The next candidate answers; only the headers tell."""
    async with FaultyUpstream(chat_stream("Hel", "lo")) as upstream:
        with refuse_port() as port:
            yaml = TWO.format(first=f"http://127.0.0.1:{port}/v1", second=upstream.base_url)
            async with serving(yaml) as running, Client(running.port) as client:
                await client.send(chat("Hi", model="role:rlm", stream=True))
                response = await client.response()
                assert response.complete
                assert response.events[-1] == b"[DONE]"
                assert response.headers["x-gateway-attempts"] == "2"


async def test_when_all_fail_the_client_learns_what_was_tried() -> None:
    """All limited: 429 with the earliest retry-after, and no SDK tries again by itself if that is too far off."""
    limited = error_json(429, headers={"retry-after": "70"})
    async with FaultyUpstream(limited) as one, FaultyUpstream(limited) as two:
        yaml = TWO.format(first=one.base_url, second=two.base_url)
        async with serving(yaml) as running, Client(running.port) as client:
            await client.send(chat("Hi", model="role:rlm"))
            response = await client.response()
            assert response.status == 429
            assert response.headers["retry-after"] == "70"
            assert response.headers["x-should-retry"] == "false"
            assert "first/a" in response.json["error"]["message"]


def outcomes(running: Running) -> list[str]:
    """Return what became of the attempts of the last call."""
    return [attempt.outcome.name for attempt in running.audit.settlements[-1].attempts]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("place", [0, 1])
async def test_a_call_that_cannot_be_written_for_an_upstream_is_refused(place: int, stream: bool) -> None:
    """The refusal is no attempt: that upstream is not asked, held busy or praised, and the call counts as a 400."""
    candidates = ["first/a", "first/b"]
    candidates[place] = "forced"
    extra = f"  strict: {{models: [{', '.join(candidates)}]}}"
    forced = "  forced: {model: second/b, params: {force: {temperature: 0}}}\n"
    async with FaultyUpstream(error_json(500)) as first, FaultyUpstream(chat_json()) as second:
        yaml = TWO.format(first=first.base_url, second=second.base_url).replace("roles:", forced + "roles:") + extra
        async with serving(yaml, remember=True) as running:
            response = await ask(running, chat("Hi", model="role:strict", stream=stream, Temperature=1))
            assert response.status == 400
            assert "Temperature" in response.json["error"]["message"]
            await exchange_is_over(running)
            assert outcomes(running) == ["server_error"] * place
            assert [len(one.requests) for one in (first, second)] == [place, 0]
            line = 'gateway_requests_total{code="400",endpoint="chat",route="role:strict"}'
            assert running.metric(line) == 1
            assert "second/b" not in running.gateway.memory.facts


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_for_policy_fails_over_where_the_role_says_so(tmp_path: Path, stream: bool) -> None:
    """Each attempt is settled by itself: the memory and the ledger know of both."""
    refusal = error_json(400, {"error": {"message": "flagged", "code": "content_policy_violation"}})
    role = "  bold: {models: [first/m, second/m], on_policy: failover}"
    answer = chat_stream("Hel", "lo") if stream else chat_json()
    async with ledgered(tmp_path, refusal, answer, extra=role) as scene:
        response = await scene.ask(chat(model="role:bold", stream=stream))
        assert response.status == 200
        assert response.headers["x-gateway-attempts"] == "2"
        rows = await scene.rows()
        assert [(row.outcome, row.call_status) for row in rows] == [("policy", 0), ("ok", 200)]
        assert outcomes(scene.running) == ["policy", "ok"]


async def test_what_the_gateway_added_holds_no_upstreams_time(tmp_path: Path) -> None:
    """Whichever way the call goes: a plan that a budget put in place of another begins with attempts behind it."""
    slow = (Pause(0.3), *error_json(500))
    extra = (
        "  cheap: {models: [third/m]}\n"
        "budgets: [{scope: provider, name: second, limit_usd: 0.00001, then: downgrade, to: 'role:cheap'}]"
    )
    async with ledgered(tmp_path, slow, chat_json(), chat_json(), extra=extra) as scene:
        assert (await scene.ask(chat(model="second/m"))).headers["x-gateway-provider"] == "second"
        response = await scene.ask()
        assert response.headers["x-gateway-provider"] == "third"
        await exchange_is_over(scene.running)
        assert outcomes(scene.running) == ["server_error", "ok"]
        assert 0.0 < scene.running.audit.settlements[-1].overhead_s < 0.25


LATE_MODEL = (
    b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nfirst/a\r\n'
    b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n' + b"\0" * (6 << 20) + b"\r\n"
    b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nfirst/b\r\n--b--\r\n'
)


async def test_a_form_that_is_refused_half_way_is_an_attempt(tmp_path: Path) -> None:
    """The upstream has part of it, so it is recorded: as the client's mistake, never as a success."""
    headers = {"content-type": "multipart/form-data; boundary=b"}
    sent = request("POST", "/v1/audio/transcriptions", headers=headers, body=LATE_MODEL)
    async with ledgered(tmp_path, chat_json()) as scene:
        assert (await scene.ask(sent)).status == 400
        row = await scene.row()
        assert (row.outcome, row.call_status) == ("bad_request", 400)
        assert outcomes(scene.running) == ["bad_request"]
        line = 'gateway_attempts_total{model="other",outcome="bad_request",provider="first"}'
        assert scene.running.metric(line) == 1
        assert scene.upstreams[0].requests == []


def spent(provider: str, running: Running) -> None:
    """Leave nothing of the allowance for retries at a provider, for as long as the test takes."""
    running.gateway.memory.allowances[provider] = Allowance(earned=0.0, reserve=0.0, at=time.monotonic() + 1000.0)


async def test_a_retry_that_the_allowance_does_not_cover_is_not_made() -> None:
    """An upstream that is failing is not asked again for the same call, whatever `retries` says."""
    async with FaultyUpstream(error_json(500)) as upstream, serving(config(upstream), remember=True) as running:
        spent("first", running)
        assert (await ask(running)).status == 500
        await exchange_is_over(running)
        assert outcomes(running) == ["server_error", "no_retry_budget"]
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("failed_before", "expected"), [(0, ["server_error", "ok"]), (1, ["server_error", "no_retry_budget"])]
)
async def test_a_fallback_is_a_retry_where_it_fails_itself(failed_before: int, expected: list[str]) -> None:
    """To an upstream that nothing is known against, the call of another is one like any other."""
    async with FaultyUpstream(error_json(500)) as one, FaultyUpstream(chat_json()) as two:
        configured = replace(config(one, two), retries=0)
        async with serving(configured, remember=True) as running:
            second = running.gateway.directory.routes["role:rlm"].candidates[1]
            for _ in range(failed_before):
                running.audit.memory.teach(Attempt(second, o.SERVER_ERROR), time.time())
            spent("second", running)
            await ask(running, chat("Hi", model="role:rlm"))
            await exchange_is_over(running)
            assert outcomes(running) == expected
            assert [len(one.requests), len(two.requests)] == [1, 1 - failed_before]


async def test_a_stale_connection_is_no_retry() -> None:
    """The upstream never had the call, so nothing has to pay for sending it once more."""
    async with FaultyUpstream(chat_json()) as upstream, serving(config(upstream), remember=True) as running:
        assert (await ask(running, chat("Hi", model="role:rlm"))).status == 200
        upstream.script((Reset(),), chat_json())
        candidate = running.gateway.directory.routes["role:rlm"].candidates[0]
        running.audit.memory.teach(Attempt(candidate, o.SERVER_ERROR), time.time())
        spent("first", running)
        assert (await ask(running, chat("Hi", model="role:rlm"))).status == 200
        await exchange_is_over(running)
        assert outcomes(running) == ["stale", "ok"]
