"""Every recorded answer, and every status with every code, comes to the outcome that the providers' words call for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core import outcome as o
from gateway.core.outcome import classify
from gateway.core.waits import come_back_s
from gateway.dialects.choices import read_answer
from gateway.dialects.endpoints import CHAT, dialect_of
from gateway.dialects.events import StreamReader
from gateway.dialects.upstream_error import read_error
from gateway.types import About, Blame, Outcome, Then, UpstreamError
from tests.core.refused import REFUSED, WORDINGS, openai
from tests.faults.recipes import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_786_000_000.0


def recorded(name: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of a recorded answer."""
    first, *lines = (FIXTURES / f"{name}.headers").read_bytes().split(b"\r\n")[:-2]
    headers = [(key.lower(), value) for key, _, value in (line.partition(b": ") for line in lines)]
    return int(first.split()[1]), headers, (FIXTURES / f"{name}.body").read_bytes()


def outcome_of(name: str) -> tuple[Outcome, float | None]:
    """What a recorded answer comes to, as an exchange finds out, and when to come back."""
    status, headers, body = recorded(name)
    error: UpstreamError | None
    if dict(headers)[b"content-type"].startswith(b"text/event-stream"):
        reader = StreamReader(dialect_of(CHAT).grammar)
        reader.feed(body)
        reader.finish()
        error = reader.error
    else:
        error = read_answer(body, CHAT).error if status == 200 else read_error(body)
    wait = None
    if error is not None:
        wait = come_back_s(headers, error, NOW)
    return classify(status, error), wait


RECORDED = {
    "anthropic_429": (o.RATE_LIMITED, 42.0),
    "anthropic_429_spend_limit": (o.QUOTA_EXHAUSTED, None),
    "anthropic_529": (o.OVERLOADED, None),
    "anthropic_midstream_overloaded": (o.OVERLOADED, None),
    "anthropic_stream": (o.OK, None),  # its retry-after of 53 s means nothing
    "azure_429": (o.RATE_LIMITED, 1.0),  # `retry-after-ms: 0` does not count
    "azure_stream": (o.OK, None),
    "deepseek_400_octet": (o.CONTEXT_LENGTH, None),
    "deepseek_stream": (o.OK, None),
    "gemini_compat_429": (o.QUOTA_EXHAUSTED, 37.0),  # PerDay, although it says 37 s
    "groq_429": (o.RATE_LIMITED, 7.0),
    "groq_stream": (o.OK, None),
    "llamacpp_400_ctx": (o.CONTEXT_LENGTH, None),
    "llamacpp_503_loading": (o.LOADING, None),
    "llamacpp_stream": (o.OK, None),
    "minimax_200_rate_limited": (o.RATE_LIMITED, None),
    "mistral_401": (o.BAD_CREDENTIAL, None),
    "mistral_stream_thinking": (o.OK, None),
    "nvidia_429": (o.RATE_LIMITED, None),
    "ollama_503_busy": (o.OVERLOADED, None),
    "ollama_midstream_lost_error": (o.OK, None),  # it has no error; that it is cut short, others see
    "ollama_stream": (o.OK, None),
    "openai_401": (o.BAD_CREDENTIAL, None),
    "openai_429_insufficient_quota": (o.NO_CREDIT, None),
    "openai_429_tpm": (o.RATE_LIMITED, 1.34),
    "openai_stream": (o.OK, None),
    "openrouter_429_free_daily": (o.QUOTA_EXHAUSTED, 60_800.0),  # until 00:00 UTC
    "openrouter_429_upstream": (o.OVERLOADED, None),
    "openrouter_midstream_error": (o.OVERLOADED, None),
    "openrouter_stream": (o.OK, None),
    "vllm_401": (o.BAD_CREDENTIAL, None),
    "vllm_midstream_error": (o.SERVER_ERROR, None),
    "vllm_stream": (o.OK, None),
    "xai_400_auth": (o.BAD_CREDENTIAL, None),
    "xai_stream": (o.OK, None),
    "zai_429": (o.RATE_LIMITED, None),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded(name: str) -> None:
    """What providers were recorded sending."""
    assert outcome_of(name) == RECORDED[name]


def test_nothing_recorded_is_left_out() -> None:
    """The table above has every fixture."""
    assert set(RECORDED) == {path.stem for path in FIXTURES.glob("*.body")}


def outcomes() -> Iterator[Outcome]:
    for value in vars(o).values():
        if isinstance(value, Outcome):
            yield value


@pytest.mark.parametrize(
    ("outcome", "blame", "then"),
    [
        (o.OK, Blame.NOBODY, Then.RELAY),
        (o.BAD_REQUEST, Blame.CLIENT, Then.RELAY),
        (o.POLICY, Blame.CLIENT, Then.RELAY),
        (o.CONTEXT_LENGTH, Blame.CLIENT, Then.ELSEWHERE),  # another may have a larger one
        (o.RATE_LIMITED, Blame.NOBODY, Then.ELSEWHERE),  # no ill health
        (o.QUOTA_EXHAUSTED, Blame.NOBODY, Then.ELSEWHERE),
        (o.NO_CREDIT, Blame.GATEWAY, Then.ELSEWHERE),
        (o.BAD_CREDENTIAL, Blame.GATEWAY, Then.ELSEWHERE),
        (o.MODEL_MISSING, Blame.GATEWAY, Then.ELSEWHERE),
        (o.OVERLOADED, Blame.UPSTREAM, Then.ELSEWHERE),
        (o.SERVER_ERROR, Blame.UPSTREAM, Then.ELSEWHERE),
        (o.STALE, Blame.NOBODY, Then.AGAIN),
        (o.TRUNCATED, Blame.UPSTREAM, Then.RELAY),  # after the commit nothing is tried again
        (o.STREAM_ERROR, Blame.UPSTREAM, Then.RELAY),
        (o.IDLE_TIMEOUT, Blame.UPSTREAM, Then.RELAY),
        (o.HUNG_UP, Blame.CLIENT, Then.RELAY),
    ],
    ids=lambda value: value.name if isinstance(value, Outcome) else "",
)
def test_what_an_outcome_asks_for(outcome: Outcome, blame: Blame, then: Then) -> None:
    """Only what an upstream could have done better counts against it."""
    assert (outcome.blame, outcome.then) == (blame, then)


def test_names_are_labels() -> None:
    """Each name is one word, and there is one of each."""
    names = [outcome.name for outcome in outcomes()]
    assert len(names) == len(set(names))
    assert all(name.replace("_", "").isalpha() and name.islower() for name in names)


BY_STATUS = {
    o.OK: {200, 201, 204, 206},
    o.WRONG_CONTENT: {0, 100, 300, 301, 302, 303, 304, 307, 308},  # a redirect would carry the key elsewhere
    o.BAD_REQUEST: {400, 406, 409, 411, 414, 415, 416, 417, 418, 422, 424, 428, 431, 497},
    o.BAD_CREDENTIAL: {401},
    o.FORBIDDEN: {403, 451},
    o.NO_CREDIT: {402, 412},
    o.NOT_FOUND: {404, 410},
    o.ENDPOINT_MISSING: {405, 501},
    o.TOO_LARGE: {413},
    o.OVERLOADED: {408, 498, 499, 503, 529},
    o.RATE_LIMITED: {429},
    o.SERVER_ERROR: {500, 502, 504, 505, 507, 520, 521, 522, 523, 524, 525, 526, 530, 598, 599, 600, 999},
}


@pytest.mark.parametrize(("status", "expected"), [(one, found) for found, all_ in BY_STATUS.items() for one in all_])
def test_statuses(status: int, expected: Outcome) -> None:
    """A status whose body says nothing, in words or at all."""
    assert classify(status, None) == expected
    if expected is not o.OK:
        assert classify(status, read_error(b"")) == (o.ENDPOINT_MISSING if status == 404 else expected)


@pytest.mark.parametrize(
    "page", [b"<html><h1>Sorry</h1></html>", b"\n<!DOCTYPE html><title>Blocked</title> api key invalid"]
)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, o.FORBIDDEN) for status in (400, 403, 406, 410, 415, 418, 422, 451)),
        *((status, o.ENDPOINT_MISSING) for status in (404, 405, 501)),
        (401, o.BAD_CREDENTIAL), (402, o.NO_CREDIT), (413, o.TOO_LARGE), (429, o.RATE_LIMITED), (500, o.SERVER_ERROR),
        (502, o.SERVER_ERROR), (503, o.OVERLOADED),
    ],
)  # fmt: skip
def test_pages(status: int, page: bytes, expected: Outcome) -> None:
    """A page is no word of the API's: a firewall that dislikes a prompt says nothing of the key or the model."""
    assert classify(status, read_error(page)) == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        # rate limits
        (429, b'{"error":{"code":"rate_limit_exceeded","type":"requests"}}', o.RATE_LIMITED),
        (429, b'{"error":{"type":"rate_limit_reached_error","message":"x"}}', o.RATE_LIMITED),
        (429, b'{"error":{"code":"1303"}}', o.RATE_LIMITED),
        (429, b'{"error":{"code":1305}}', o.RATE_LIMITED),
        (429, b'{"error":{"code":"429","message":"Rate limit is exceeded"}}', o.RATE_LIMITED),
        (429, b'{"message":"Too many requests"}', o.RATE_LIMITED),
        (429, b'{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-min."}}', o.RATE_LIMITED),
        (402, b'{"error":{"code":402,"metadata":{"limit_source":"openrouter_in_flight_budget"}}}', o.RATE_LIMITED),
        (200, b'{"error":{"code":429,"message":"slow down"}}', o.RATE_LIMITED),
        (429, b'[{"error":{"code":429,"details":[{"violations":[{"quotaId":"RequestsPerMinute-FreeTier"}]}]}}]',
         o.RATE_LIMITED),
        # quotas of a day or a month
        (429, b'{"error":{"message":"Rate limit exceeded: free-models-per-day-high-balance."}}', o.QUOTA_EXHAUSTED),
        (429, b'{"error":{"code":"rate_limit_exceeded","message":"on requests per day (RPD): Limit 50"}}',
         o.QUOTA_EXHAUSTED),
        (429, b'{"error":{"code":"rate_limit_exceeded","message":"on tokens per day (TPD): Limit 100000"}}',
         o.QUOTA_EXHAUSTED),
        # money
        (402, b'{"error":{"message":"Insufficient Balance","type":"unknown_error"}}', o.NO_CREDIT),
        (429, b'{"error":{"type":"exceeded_current_quota_error"}}', o.NO_CREDIT),
        (429, b'{"error":{"code":"1113","message":"no balance"}}', o.NO_CREDIT),
        (400, b'{"error":{"type":"billing_error"}}', o.NO_CREDIT),
        (
            400,
            b'{"error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits."}}',
            o.NO_CREDIT,
        ),
        (200, b'{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}', o.NO_CREDIT),
        (412, b'{"error":{"message":"suspended"}}', o.NO_CREDIT),
        # keys
        (400, b'{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}',
         o.BAD_CREDENTIAL),
        (400, b'[{"error":{"code":400,"message":"API key not valid. Please pass a valid one."}}]', o.BAD_CREDENTIAL),
        (401, b'{"error":{"code":"401","message":"Access denied due to invalid subscription key"}}', o.BAD_CREDENTIAL),
        (401, b'{"error":{"message":"rate limit","code":"rate_limit_exceeded"}}', o.BAD_CREDENTIAL),
        (403, b'{"error":{"type":"permission_error"}}', o.FORBIDDEN),
        (200, b'{"base_resp":{"status_code":2049}}', o.BAD_CREDENTIAL),
        (200, b'{"base_resp":{"status_code":1004}}', o.BAD_CREDENTIAL),
        # models
        (404, b'{"error":{"code":"DeploymentNotFound"}}', o.MODEL_MISSING),
        (404, b'{"type":"error","error":{"type":"not_found_error","message":"model: x"}}', o.MODEL_MISSING),
        (400, b'{"error":{"code":"model_not_found"}}', o.MODEL_MISSING),
        (404, b'{"error":"model \\"x\\" not found, try pulling it first"}', o.MODEL_MISSING),
        (501, b'{"error":{"type":"not_supported_error","code":501}}', o.ENDPOINT_MISSING),
        # prompts that are too long
        (400, b'{"error":{"code":"context_length_exceeded"}}', o.CONTEXT_LENGTH),
        (400, b'{"error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}',
         o.CONTEXT_LENGTH),
        (400, b'{"error":{"code":400,"metadata":{"error_type":"context_length_exceeded"}}}', o.CONTEXT_LENGTH),
        (400, b'{"id":"1","message":"too long","error_type":"TOO_MANY_TOKENS"}', o.CONTEXT_LENGTH),
        (400, b'{"error":"Prompt too long"}', o.CONTEXT_LENGTH),
        (413, b'{"error":{"code":"context_length_exceeded"}}', o.CONTEXT_LENGTH),
        (500, b'{"error":{"type":"exceed_context_size_error"}}', o.CONTEXT_LENGTH),
        # policy
        (400, b'{"error":{"code":"content_filter"}}', o.POLICY),
        (400, b'{"error":{"code":"content_policy_violation"}}', o.POLICY),
        (403, b'{"error":{"code":403,"metadata":{"error_type":"content_policy_violation"}}}', o.POLICY),
        # busy
        (429, b'{"error":{"type":"engine_overloaded_error"}}', o.OVERLOADED),
        (500, b'{"type":"error","error":{"type":"overloaded_error"}}', o.OVERLOADED),
        (502, b'{"error":{"code":502,"metadata":{"error_type":"provider_unavailable"}}}', o.OVERLOADED),
        (200, b'{"error":{"code":503,"metadata":{"error_type":"provider_overloaded"}}}', o.OVERLOADED),
        # errors in a success
        (200, b'{"error":{"code":502,"message":"bad gateway"}}', o.SERVER_ERROR),
        (200, b'{"error":{"code":400,"message":"bad"}}', o.BAD_REQUEST),
        (200, b'{"error":{"message":"vLLM returned HTTP 400: no","type":"worker_error","code":null}}', o.SERVER_ERROR),
        (200, b'{"error":{"code":"99999999999999999999"}}', o.SERVER_ERROR),
        (200, b'{"error":{"code":"' + b"9" * 5000 + b'"}}', o.SERVER_ERROR),
        (200, b'{"base_resp":{"status_code":1013}}', o.SERVER_ERROR),
        # codes weigh nothing where the status says enough
        (529, b'{"error":{"code":"insufficient_quota"}}', o.OVERLOADED),
        (409, b'{"error":{"code":"rate_limit_exceeded"}}', o.BAD_REQUEST),
        # in any case
        (400, b'{"error":{"code":"CONTEXT_LENGTH_EXCEEDED"}}', o.CONTEXT_LENGTH),
    ],
)  # fmt: skip
def test_codes(status: int, body: bytes, expected: Outcome) -> None:
    """What the body says outweighs a status that may mean many things."""
    assert classify(status, read_error(body)) == expected


def test_a_code_decides_before_a_type_and_a_type_before_the_text() -> None:
    """The most precise word counts."""
    said = UpstreamError("maximum context length is 8", "overloaded_error", "insufficient_quota")
    assert classify(429, said) == o.NO_CREDIT
    assert classify(429, UpstreamError("maximum context length is 8", "overloaded_error", "what")) == o.OVERLOADED
    assert classify(429, UpstreamError("maximum context length is 8", "who", "what")) == o.CONTEXT_LENGTH
    assert classify(429, UpstreamError("", "who", "what")) == o.RATE_LIMITED


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [(status, body, outcome) for outcome, told in REFUSED.items() for status, body in told],
)
def test_what_a_refusal_is_about(status: int, body: bytes, expected: Outcome) -> None:
    """In the words of some thirty providers; what is not known to be about more is about the call."""
    assert classify(status, read_error(body)).name == expected.name


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [(status, message, outcome) for outcome, told in WORDINGS.items() for status, message in told],
)
def test_other_wordings(status: int, message: str, expected: Outcome) -> None:
    """In OpenAI's shape and as a bare text; the client's words and third parties' shut nobody out."""
    assert classify(status, read_error(openai(message))).name == expected.name
    assert classify(status, read_error(message.encode())).name == expected.name


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (openai("The model 'x' does not exist", code="model_not_found", param="tools[0].model"), o.UNSUPPORTED),
        (openai("The model 'x' does not exist", code="model_not_found", param="model"), o.MODEL_MISSING),
        (openai("The model 'x' does not exist", param="input_audio_transcription.model"), o.BAD_REQUEST),
        (openai("Your credit balance is too low", param="messages"), o.BAD_REQUEST),
        (openai("no", code="insufficient_quota", param="x"), o.NO_CREDIT),
    ],
)
def test_a_field_of_the_request_is_about_the_call(body: bytes, expected: Outcome) -> None:
    """Whatever the words: a model that only a tool names is not the upstream's."""
    assert classify(400, read_error(body)).name == expected.name


def test_blame_follows_from_what_it_is_about() -> None:
    """Only what is about the upstream as a whole counts against its health."""
    for one in o.ALL:
        assert (one.blame is Blame.UPSTREAM) == (one.about is About.PROVIDER), one.name
        assert one.was_made == (one not in (o.NO_BUDGET, o.OVER_BUDGET, o.AT_LIMIT)), one.name
        if one.about in (About.CALL, About.CLOCK, About.NOBODY):
            assert one.aside_s == 0.0, one.name
    assert set(o.ALL) == set(outcomes())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (openai("no", code="content_filter"), o.STREAM_REFUSED),
        (openai("This model's maximum context length is 8 tokens"), o.STREAM_REFUSED),
        (openai("CUDA out of memory", "server_error"), o.STREAM_ERROR),
        (openai("busy", "overloaded_error"), o.STREAM_ERROR),
    ],
)
def test_errors_after_content(body: bytes, expected: Outcome) -> None:
    """A call that is refused half-way is no ill health either."""
    assert o.classify_late(read_error(body)) is expected
