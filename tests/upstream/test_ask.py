"""The connection test asks little, measures what comes, and says in plain words what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.types import Candidate, Params, Provider, Timeouts, Upstream, Usage
from gateway.upstream.ask import Asker, model_ids
from gateway.upstream.client import Client
from gateway.upstream.greeting import MOST_TOKENS
from tests.faults import (
    End,
    FaultyUpstream,
    Fin,
    Pause,
    Send,
    Stall,
    chat_json,
    chat_stream,
    comment,
    delta,
    error_event,
    error_json,
    finish,
    json_answer,
    like_openai,
    messages_json,
    messages_stream,
    recorded,
    refuse_port,
    stream_head,
)

if TYPE_CHECKING:
    from tests.faults import Answer, Request, Script

KEY = "sk-very-secret-0123456789"
QUICK = Timeouts(connect_s=1, first_byte_s=0.2, first_token_s=0.2, idle_s=0.2, total_s=5)


def provider(upstream: FaultyUpstream, kind: str = "openai", *, key: str = KEY, stream_usage: bool = True) -> Provider:
    headers = ((b"authorization", f"Bearer {key}".encode()),) if key else ()
    return Provider("shop", kind, upstream.base_url, headers=headers, stream_usage=stream_usage, timeouts=QUICK)


def candidate(upstream: FaultyUpstream, params: Params = Params()) -> Candidate:  # noqa: B008  # frozen
    return Candidate(Upstream(provider(upstream), "m"), params)


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ({"object": "list", "data": [{"id": "a"}, {"id": "b/c:free"}]}, ["a", "b/c:free"]),
        ([{"id": "a", "type": "chat"}], ["a"]),  # Together
        ({"object": "list", "data": None}, []),  # Ollama without models
        ({"data": [{"id": "models/gemini-3"}]}, ["gemini-3"]),
        ({"models": [{"name": "a"}]}, ["a"]),
        ({"data": [{"id": 1}, {}, "b", None]}, ["b"]),
        ({"error": "no"}, []),
        ("no", []),
    ],
)
def test_model_lists(value: object, ids: list[str]) -> None:
    """Every shape of a list is read; what is no list has no ids."""
    assert model_ids(value) == ids


async def test_models_with_a_key_that_counts() -> None:
    """The key is sent, and was looked at if the list is refused without it."""

    def answer(request: Request) -> Script:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return error_json(401)
        return json_answer({"data": [{"id": "a"}, {"id": "a"}, {"id": "b"}]})

    async with FaultyUpstream(answer) as upstream, Asker() as asker:
        listing = await asker.models(provider(upstream), check_key=True)
        assert (listing.problem, listing.status, listing.models) == (None, 200, ("a", "b"))
        assert listing.key_accepted is True
        assert {(request.method, request.target) for request in upstream.requests} == {("GET", "/v1/models")}


@pytest.mark.parametrize("key", [KEY, ""])
async def test_an_open_list_says_nothing_about_the_key(key: str) -> None:
    """Whoever shows the list to everyone has not looked at the key; without a key there is nothing to look at."""
    async with FaultyUpstream(json_answer({"data": [{"id": "a"}]})) as upstream, Asker() as asker:
        assert (await asker.models(provider(upstream, key=key), check_key=True)).key_accepted is None


async def test_openrouter_is_asked_about_the_key_itself() -> None:
    """Its list is open to everyone; its /key is not, and costs nothing."""
    answers = (json_answer({"data": [{"id": "a"}]}), error_json(401, {"error": {"message": "No user", "code": 401}}))
    async with FaultyUpstream(*answers) as upstream, Asker() as asker:
        listing = await asker.models(provider(upstream, "openrouter"), check_key=True)
        assert [request.target for request in upstream.requests] == ["/v1/models", "/v1/key"]
        assert str(listing.problem) == (
            "shop did not accept the key (HTTP 401: No user); check its api_key (usually from OPENROUTER_API_KEY)"
        )


async def test_pages_are_followed() -> None:
    """Anthropic gives its list in pages."""
    answers = (
        json_answer({"data": [{"id": "a"}], "has_more": True, "last_id": "a"}),
        json_answer({"data": [{"id": "b"}], "has_more": False, "last_id": "b"}),
    )
    async with FaultyUpstream(*answers) as upstream, Asker() as asker:
        assert (await asker.models(provider(upstream, key=""))).models == ("a", "b")
        assert upstream.requests[1].target == "/v1/models?limit=1000&after_id=a"


async def test_azure_keeps_its_query() -> None:
    """What a provider needs in every URL stays there."""
    async with FaultyUpstream(json_answer({"data": []})) as upstream, Asker() as asker:
        await asker.models(replace(provider(upstream, "azure", key=""), query="api-version=v1"))
        assert upstream.requests[0].target == "/v1/models?api-version=v1"


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_no_list_is_no_problem(status: int) -> None:
    """Not every provider has one."""
    async with FaultyUpstream(error_json(status)) as upstream, Asker() as asker:
        listing = await asker.models(provider(upstream))
        assert (listing.problem, listing.offered, listing.status) == (None, False, status)


@pytest.mark.parametrize(
    ("answer", "status", "accepted", "said"),
    [
        (json_answer({"jobs": {}, "workers": {"idle": 0}}), None, True, ""),
        (error_json(401), 401, None, "did not accept the key"),
        (error_json(404), 404, None, "HTTP 404"),
    ],
)
async def test_where_the_list_costs_the_health_tells_of_the_key(
    answer: Answer, status: int | None, accepted: bool | None, said: str
) -> None:
    """RunPod's health is free, and wants a valid key and a real endpoint."""
    async with FaultyUpstream(answer) as upstream, Asker() as asker:
        base = upstream.base_url.removesuffix("/v1") + "/v2/abc/openai/v1"
        runpod = Provider("pod", "runpod", base, ((b"authorization", b"Bearer rpa_12345678"),), discover=False)
        listing = await asker.models(runpod, check_key=True)
        assert [one.target for one in upstream.requests] == ["/v2/abc/health"]
        assert (listing.offered, listing.status, listing.key_accepted) == (False, status, accepted)
        assert said in str(listing.problem or "")


async def test_a_list_that_costs_is_not_asked_for() -> None:
    """RunPod's list would wake a worker; elsewhere than at RunPod, its health is unknown too."""
    async with FaultyUpstream(json_answer({"data": []})) as upstream, Asker() as asker:
        runpod = provider(upstream, "runpod")
        assert (await asker.models(replace(runpod, discover=False))).offered is False
        assert upstream.requests == []
        assert (await asker.models(runpod)).offered  # `discover: true` in its entry
        await asker.models(replace(provider(upstream), discover=False))
        assert len(upstream.requests) == 2


async def test_chat() -> None:
    """One short chat: status, tokens, and little is asked for."""
    async with FaultyUpstream(like_openai()) as upstream, Asker() as asker:
        chat = await asker.chat(candidate(upstream))
        assert (chat.problem, chat.status, chat.usage) == (None, 200, Usage(7, 2))
        assert 0 < chat.latency_s < 5
        [request] = upstream.requests
        assert request.target == "/v1/chat/completions"
        assert request.json["max_tokens"] == MOST_TOKENS
        assert request.json["model"] == "m"


def like_anthropic(asked: Request) -> Script:
    """Its three endpoints, for whoever says the version; all else is not there."""
    path = asked.target.partition("?")[0]
    if asked.headers.get("anthropic-version") != "2023-06-01" or asked.headers.get("x-api-key") != "k":
        return error_json(400, {"type": "error", "error": {"message": "anthropic-version: header is required"}})
    if path == "/v1/models":
        return json_answer({"data": [{"id": "claude-x", "type": "model"}], "has_more": False, "last_id": "claude-x"})
    if path != "/v1/messages":
        return error_json(404, {"type": "error", "error": {"type": "not_found_error", "message": "Not found"}})
    return messages_stream("Hello") if asked.json.get("stream") else messages_json("Hello")


async def test_a_provider_that_speaks_messages() -> None:
    """It is asked as it wants to be: its path, its version, its words; the answers count like any."""
    async with FaultyUpstream(like_anthropic) as upstream, Asker() as asker:
        shop = provider(upstream, "anthropic")
        origin = upstream.base_url.removesuffix("/v1")
        shop = replace(shop, base_url=f"{origin}/v1", speaks=("messages",), headers=((b"x-api-key", b"k"),))
        asked = Candidate(Upstream(shop, "m"), Params({"temperature": b"1.5"}))
        listing, chat, stream = await asker.models(shop), await asker.chat(asked), await asker.stream(asked)
    assert (listing.problem, listing.models) == (None, ("claude-x",))
    assert (chat.problem, chat.usage) == (None, Usage(7, 2))
    assert (stream.problem, stream.usage) == (None, Usage(7, 2))
    assert stream.first_token_s is not None
    sent = upstream.requests[1].json
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("m", MOST_TOKENS, 1)  # above 1 it refuses


async def test_configured_parameters_are_tried_too() -> None:
    """A parameter that the provider refuses should fail here and not in the first real call; ours is the limit."""
    params = Params({"temperature": b"0.1", "max_tokens": b"9"}, {"max_completion_tokens": b"100000"})
    async with FaultyUpstream(like_openai()) as upstream, Asker() as asker:
        await asker.chat(candidate(upstream, params))
        sent = upstream.requests[0].json
        assert (sent["temperature"], sent["max_tokens"]) == (0.1, MOST_TOKENS)
        assert "max_completion_tokens" not in sent


@pytest.mark.parametrize("stream", [False, True])
async def test_the_other_spelling_of_the_limit(stream: bool) -> None:
    """Some models want `max_completion_tokens`; they say so, and are asked once more."""
    message = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    refusal = error_json(400, {"error": {"message": message, "code": "unsupported_parameter"}})
    async with FaultyUpstream(refusal, like_openai()) as upstream, Asker() as asker:
        asked = candidate(upstream)
        answer = await (asker.stream(asked) if stream else asker.chat(asked))
        assert answer.problem is None
        assert "max_tokens" not in upstream.requests[1].json
        assert upstream.requests[1].json["max_completion_tokens"] == MOST_TOKENS
        upstream.always(refusal)
        answer = await (asker.stream(asked) if stream else asker.chat(asked))
        assert answer.problem is not None
        assert answer.problem.outcome == "bad_request"
        assert len(upstream.requests) == 4


async def test_stream() -> None:
    """A stream is measured: the first token, the events that carry something, the tokens."""
    script = (stream_head(), comment(), Pause(0.05), delta("Hel"), Pause(0.05), delta("lo"), finish())
    async with FaultyUpstream((*script, *chat_stream()[5:])) as upstream, Asker() as asker:
        stream = await asker.stream(candidate(upstream))
        assert (stream.problem, stream.status, stream.chunks) == (None, 200, 4)
        assert stream.usage == Usage(7, 2)
        assert stream.first_token_s is not None
        assert 0.04 < stream.first_token_s < stream.latency_s - 0.04
        assert upstream.requests[0].json["stream_options"] == {"include_usage": True}


async def test_a_stream_of_whom_nobody_asks_for_usage() -> None:
    """Who refuses `stream_options` is not sent it."""
    async with FaultyUpstream(like_openai()) as upstream, Asker() as asker:
        asked = Candidate(Upstream(provider(upstream, stream_usage=False), "m"))
        stream = await asker.stream(asked)
        assert (stream.problem, stream.usage) == (None, None)
        assert "stream_options" not in upstream.requests[0].json


@pytest.mark.parametrize("name", ["openai_stream", "openrouter_stream", "deepseek_stream", "groq_stream", "xai_stream"])
async def test_recorded_streams_pass(name: str) -> None:
    """What providers really send passes the test."""
    async with FaultyUpstream(recorded(name)) as upstream, Asker() as asker:
        stream = await asker.stream(candidate(upstream))
        assert stream.problem is None
        assert stream.chunks > 1
        assert stream.usage is not None


CHATS: list[tuple[Script, str, str]] = [
    (recorded("openai_401"), "bad_credential", "shop did not accept the key (HTTP 401: "),
    (error_json(402), "no_credit", "there is no credit left at shop (HTTP 402: scripted); add credit there"),
    (recorded("openai_429_insufficient_quota"), "no_credit", "there is no credit left at shop"),
    (recorded("openai_429_tpm"), "rate_limited", "shop limits the rate"),
    (
        error_json(404),
        "not_found",
        "shop did not find something the request names (HTTP 404: scripted); choose another model",
    ),
    (
        error_json(404, {"error": "model 'm' not found"}),
        "model_missing",
        "shop does not serve m there (HTTP 404: model 'm' not found); choose another model",
    ),
    (
        error_json(404, {"detail": "Not Found"}),
        "endpoint_missing",
        "shop does not serve this endpoint there (HTTP 404: ",
    ),
    (
        recorded("llamacpp_503_loading"),
        "loading",
        "shop is still loading the model (HTTP 503: Loading model); try again",
    ),
    (error_json(503), "overloaded", "shop is busy or still loading the model (HTTP 503: scripted)"),
    (error_json(500), "server_error", "shop failed (HTTP 500: scripted); try again later"),
    (
        error_json(302, b"moved"),
        "wrong_content",
        "shop did not answer like an OpenAI-compatible API (HTTP 302: moved); check its",
    ),
    (recorded("minimax_200_rate_limited"), "rate_limited", "shop limits the rate (HTTP 200: "),
    (
        json_answer(b"<html>hello</html>"),
        "wrong_content",
        "(HTTP 200: the answer is not JSON: <html>hello</html>); check its base_url",
    ),
    (json_answer({"choices": []}), "empty", "shop answered without any content (HTTP 200: the answer lacks choices)"),
    (json_answer({"hello": 1}), "empty", "shop answered without any content"),
    (json_answer([]), "wrong_content", "shop did not answer like an OpenAI-compatible API"),
    ((Fin(),), "broken", "shop broke the connection (the connection was closed before the answer"),
    ((Send(b"hello\r\n"), Stall()), "malformed", "shop does not speak HTTP/1.1 (not HTTP/1.1: "),
    ((Stall(),), "first_byte_timeout", "shop did not answer in time (127.0.0.1 did not answer within 0.2 s)"),
]


@pytest.mark.parametrize(("script", "outcome", "words"), CHATS)
async def test_what_is_wrong_with_a_chat(script: Script, outcome: str, words: str) -> None:
    """Every failure names the provider, what happened and what to do."""
    async with FaultyUpstream(script) as upstream, Asker() as asker:
        chat = await asker.chat(candidate(upstream))
        assert chat.problem is not None
        assert chat.problem.outcome == outcome
        assert words in str(chat.problem)


STREAMS: list[tuple[Script, str]] = [
    (chat_json(), "wrong_content"),
    ((stream_head(), error_event("overloaded"), End()), "server_error"),
    (recorded("openrouter_midstream_error"), "stream_error"),
    ((stream_head(), delta("Hel"), End()), "truncated"),
    ((stream_head(), delta("Hel"), Fin()), "broken"),
    ((stream_head(), End()), "empty"),
    ((stream_head(), *[step for _ in range(20) for step in (comment(), Pause(0.1))], End()), "total_timeout"),
    (error_json(401), "bad_credential"),
]


@pytest.mark.parametrize(("script", "outcome"), STREAMS)
async def test_what_is_wrong_with_a_stream(script: Script, outcome: str) -> None:
    """A stream fails in ways of its own; comments do not keep it alive for ever."""
    async with FaultyUpstream(script) as upstream, Asker() as asker:
        stream = await asker.stream(candidate(upstream))
        assert stream.problem is not None
        assert stream.problem.outcome == outcome


@pytest.mark.parametrize(("local", "remedy"), [(True, "is its server running at"), (False, "check its base_url (")])
async def test_nobody_is_there(local: bool, remedy: str) -> None:
    """Where nobody answers, the remedy depends on whose machine it is."""
    with refuse_port() as port:
        gone = Provider("shop", "openai", f"http://127.0.0.1:{port}/v1", local=local)
        async with Asker() as asker:
            listing = await asker.models(gone)
        assert listing.problem is not None
        assert listing.problem.outcome == "no_connect"
        assert listing.problem.remedy.startswith(remedy)


async def test_a_key_that_is_repeated_is_not_shown() -> None:
    """Some providers quote the key they refuse; ours is not for terminals and logs."""
    said = {"error": {"message": f"Incorrect API key provided: {KEY}."}}
    async with FaultyUpstream(error_json(401, said)) as upstream, Asker() as asker:
        chat = await asker.chat(candidate(upstream))
        assert KEY not in repr(chat)
        assert "[key]" in repr(chat)


async def test_the_demo_passes() -> None:
    """The built-in model chats and streams, and has no list."""
    demo = Provider("demo", "demo", "demo:", local=True, models=("echo",))
    async with Asker() as asker:
        assert (await asker.models(demo)).offered is False
        assert (await asker.chat(Candidate(Upstream(demo, "echo")))).problem is None
        stream = await asker.stream(Candidate(Upstream(demo, "echo")))
        assert stream.problem is None
        assert stream.chunks > 10


async def test_connections_of_others_stay_open() -> None:
    """With a client that is given, its connections are used and left open."""
    client = Client()
    async with FaultyUpstream(like_openai()) as upstream:
        for _ in range(2):
            async with Asker(client) as asker:
                assert (await asker.chat(candidate(upstream))).problem is None
        assert (len(upstream.connections), upstream.open_connections) == (1, 1)
        client.close()
