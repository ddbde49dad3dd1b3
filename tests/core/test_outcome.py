"""Every recorded answer, and every status with every code, comes to the outcome that the providers' words call for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.core import outcome as o
from gateway.core.outcome import classify
from gateway.core.waits import come_back_s
from gateway.dialects.endpoints import CHAT
from gateway.dialects.openai import StreamReader, read_answer
from gateway.dialects.upstream_error import read_error
from gateway.types import About, Blame, Outcome, Then, UpstreamError
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
        reader = StreamReader(CHAT)
        reader.feed(body)
        reader.finish()
        error = reader.error
    else:
        error = read_answer(body)[1] if status == 200 else read_error(body)
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


def openai(
    message: str, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None
) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}).encode()


def plain(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


def openrouter(code: int, message: str, **metadata: object) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "metadata": metadata}}).encode()


def gemini(code: int, message: str, status: str) -> bytes:
    return json.dumps([{"error": {"code": code, "message": message, "status": status}}]).encode()


REFUSED = {
    # -- about this call: nothing is set aside
    o.CONTEXT_LENGTH: [
        (400, openai("This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.")),
        (400, plain("This endpoint's maximum context length is 32768 tokens. However, you requested about 40000.")),
        (400, openai("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease it")),
        (400, openai("prompt is too long: 200001 tokens > 200000 maximum")),
        (400, gemini(400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                     "INVALID_ARGUMENT")),
        (400, gemini(400, "The input token count exceeds the maximum number of tokens allowed 1048575.", "")),
        (422, openai("`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8000 `inputs` tokens and 512")),
        (403, openai("`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8000 `inputs` tokens and 512")),
        (422, b'{"error":"Input validation error: `inputs` must have less than 1024 tokens. Given: 2000"}'),
        (400, b'{"object":"error","message":"The decoder prompt (length 5000) is longer than the maximum model length '
              b'of 4096.","type":"BadRequestError","param":null,"code":400}'),
        (400, openai("max_tokens must be at least 1, got -904.", "BadRequestError")),
        (400, openai("'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length "
                     "is 8192 tokens and your request has 100 input tokens.")),
        (400, openai("the request exceeds the available context size, try increasing it", "invalid_request_error")),
        (400, openai("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it")),
        (400, b'{"error":"Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded '
              b'with context length of only 4096 tokens"}'),
        (400, b'{"error":"the input length exceeds the context length"}'),
        (500, b'{"error":"input length exceeds maximum context length"}'),
        (400, b'{"code":"Client specified an invalid argument","error":"This model\'s maximum prompt length is 131072 '
              b'but the request contains 200000 tokens."}'),
        (400, b'{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for model with '
              b'32768 maximum context length","type":"invalid_request_prompt","code":"3051"}'),
        (400, plain("too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.")),
        (400, plain("Input is too long for requested model.")),
        (400, plain("Too many input tokens. Max input tokens: 8192, request input token count: 9000")),
        (400, openai("Invalid request: Your request exceeded model token limit: 8192")),
        (400, b'{"error":{"code":"1261","message":"Prompt exceeds max length"}}'),
        (200, b'{"base_resp":{"status_code":2013,"status_msg":"invalid params, context window exceeds limit"}}'),
        (400, openai("Range of input length should be [1, 30720]", code="invalid_parameter_error")),
        (400, openai("Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192")),
        (400, openai("Your input exceeds the context window of this model. Please adjust your input and try again.")),
        (400, openai("Invalid 'input': maximum input length is 8192 tokens.", param="input")),
        (400, openai("litellm.BadRequestError: ContextWindowExceededError: OpenAIException - too long")),
        (400, openrouter(400, "Provider returned error", provider_name="Azure", raw=json.dumps(
            {"error": {"message": "This model's maximum context length is 8192 tokens.", "code": None}}))),
        (400, openrouter(400, "Provider returned error", provider_name="Azure", raw=json.dumps(
            {"error": {"message": "no", "code": "context_length_exceeded"}}))),
    ],
    o.TOO_LARGE: [
        (413, openai("Request too large for model `llama` in organization `org_x` on tokens per minute (TPM): Limit "
                     "8000, Requested 20449, please reduce your message size and try again.", "tokens",
                     "rate_limit_exceeded")),
        (429, openai("Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30,000, "
                     "Requested 45,120. The input or output tokens must be reduced.", "tokens", "rate_limit_exceeded")),
        (429, openai("Rate limit reached: Limit: 1000, Used: 0, Requested: 1001", "tokens", "rate_limit_exceeded")),
        (429, openai("Tokens per day (TPD): Limit 100000, Requested 200000", "tokens", "rate_limit_exceeded")),
        (429, openai("Extra usage is required for long context requests.", "rate_limit_error")),
        (413, b'{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}'),
        (413, openai("Request body too large for gpt-4o model. Max size: 8000 tokens.", "", "tokens_limit_reached")),
        (413, b"<html><center><h1>413 Request Entity Too Large</h1></center></html>"),
        (400, openai("max_tokens is too large: 50000. This model supports at most 4096 completion tokens, whereas you "
                     "provided 50000.", param="max_tokens")),
        (400, openai("max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens for claude-3-5")),
    ],
    o.UNAFFORDABLE: [
        (402, openrouter(402, "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, "
                              "but can only afford 10114. To increase, visit https://openrouter.ai/settings/credits")),
        (402, openai("You requested up to 4096 tokens, but can only afford 12.")),
        (402, openrouter(402, "Prompt tokens limit exceeded: 12345 > 3000. To increase, upgrade to a paid account")),
        (403, openai("requires more credits, or fewer max_tokens")),
    ],
    o.POLICY: [
        (403, openrouter(403, "x/y requires moderation on z. Your input was flagged for \"hate/threatening\".",
                         reasons=["hate"], flagged_input="kill ...", provider_name="OpenAI")),
        (403, openrouter(403, "no", reasons=["violence"])),
        (403, openai("Your input was flagged by the moderation endpoint")),
        (400, openai("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                     "", "content_filter", "prompt")),
        (400, b'{"error":{"message":"no","code":null,"innererror":{"code":"X","content_filter_result":{}}}}'),
        (400, openai("Your request was rejected as a result of our safety system.", "image_generation_user_error",
                     "moderation_blocked")),
        (400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", code="invalid_prompt")),
        (400, openai("Output blocked by content filtering policy")),
        (400, gemini(400, "The prompt was blocked due to safety", "INVALID_ARGUMENT")),
        (400, openai("PROHIBITED_CONTENT")),
        (400, openai("Content Exists Risk")),
        (400, openai("The request was rejected because it was considered high risk")),
        (400, openai("Input data may contain inappropriate content.", code="data_inspection_failed")),
        (400, b'{"error":{"code":"1301","message":"x"}}'),
        (200, b'{"base_resp":{"status_code":1026,"status_msg":"new_sensitive"}}'),
        (403, b'{"code":"The caller does not have permission","error":"Content violates usage guidelines. Failed check"}'),
        (400, openai("litellm.ContentPolicyViolationError: x")),
    ],
    o.UNSUPPORTED: [
        (404, openrouter(404, "No endpoints found that support tool use. To learn more about provider routing, visit")),
        (404, openrouter(404, "No endpoints found that support image input")),
        (404, openrouter(404, "No endpoints found matching your data policy. Enable prompt training here")),
        (404, openrouter(404, "No allowed providers are available for the selected model.")),
        (400, openai("registry.ollama.ai/library/gemma3:1b does not support tools", "api_error")),
        (500, openai("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj")),
        (400, openai("Invalid content type. image_url is only supported by certain models.",
                     param="messages.[0].content.[1].type")),
        (400, openai("x is not a multimodal model", "BadRequestError")),
        (400, openai("At most 0 image(s) may be provided in one request.", "BadRequestError")),
        (400, openai("Invalid value: 'gpt-5'. Supported values are: 'tts-1'.", code="invalid_value", param="model")),
        (400, openai("must be another", param="model")),
    ],
    o.FORBIDDEN: [
        (403, b'{"error":{"type":"permission_error","message":"Your account does not have the right to do that"}}'),
        (403, b""), (403, b"Forbidden"), (403, b"error code: 1020"), (403, b'{"success":false}'),
        (401, openai("You have insufficient permissions for this operation. Missing scopes: model.request")),
    ],
    o.NOT_FOUND: [
        (404, openai("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", param="input")),
        (404, openai("No such File object: file-abc")),
        (410, b'{"error":{"message":"it is gone"}}'),
    ],
    o.BAD_REQUEST: [
        (400, openai("Invalid 'temperature': decimal above maximum value.", code="decimal_above_max_value", param="temperature")),
        (400, openai("Invalid 'temperature'", param="temperature")),
        (400, openai("Unknown parameter: 'foo'.", code="unknown_parameter", param="foo")),
        (400, openai("Unrecognized request argument supplied: foo")),
        (400, openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                     "instead.", code="unsupported_parameter", param="max_tokens")),
        (400, openai("Unsupported value: 'temperature' does not support 0.2 with this model.", param="temperature")),
        # words of the client, repeated
        (400, openai("Invalid value: 'the maximum context length is 8192 tokens'", code="invalid_value", param="user")),
        (400, openai("Invalid type for 'stop': got \"your credit balance is too low\"")),
        (400, openai("Expected a string, got 'the model x does not exist' instead")),
        (400, openai("bad role: `api key not valid`")),
        (400, openai("Incorrect API key provided in the text", param="messages[0].content")),
        (400, openai("the model x does not exist", param="messages")),
        (422, b'{"detail":[{"type":"string_type","loc":["body","stop"],"msg":"Input should be a valid string",'
              b'"input":"the model x does not exist"}]}'),
        (400, b'{"object":"error","message":"[{\'type\': \'int_type\', \'loc\': (\'body\', \'n\'), \'msg\': \'no\', '
              b'\'input\': \'user location is not supported\'}]","type":"BadRequestError","param":null,"code":400}'),
        (422, openai("1 validation error: input_value=the model x does not exist")),
    ],
    o.ENDPOINT_MISSING: [
        (404, b"404 page not found"), (404, b'{"detail":"Not Found"}'), (404, b""), (404, b"Not Found"),
        (404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}'),
        (404, openai("Unknown request URL: POST /openai/v1/responses. Please check the URL.", code="unknown_url")),
        (404, openai("Invalid URL (POST /v1/responses)")),
        (404, plain("no POST /v1/responses")), (404, plain("Cannot POST /v1/responses")),
        (404, plain("no Route matched with those values")), (404, plain("no route for POST /v1/rerank")),
        (404, openai("path \"/v1/rerank\" not found")),
        (404, openai("This is not a chat model and thus not supported in the v1/chat/completions endpoint.", param="model")),
        (400, openai("This model is only supported in v1/responses and not in v1/chat/completions.", param="model")),
        (501, openai("This server does not support embeddings. Start it with `--embeddings`", "not_supported_error")),
        (400, openai("The model `x` does not support Chat Completions API", "BadRequestError")),
        (405, plain("Method Not Allowed")),
    ],
    # -- about this model here
    o.MODEL_MISSING: [
        (404, openai("The model `gpt-9` does not exist or you do not have access to it.", code="model_not_found")),
        (403, openai("Project `proj_x` does not have access to model `gpt-4`")),
        (404, openai("The model `gpt-4-32k` has been deprecated, learn more here: https://x")),
        (404, b'{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}'),
        (404, b'{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}'),
        (404, gemini(404, "models/foo is not found for API version v1main, or is not supported for generateContent. Call "
                          "ListModels", "NOT_FOUND")),
        (400, openai("The model `x` has been decommissioned and is no longer supported.", code="model_decommissioned")),
        (400, openai("The model `x` requires terms acceptance. Please have the org admin accept the terms at https://x",
                     code="model_terms_required")),
        (403, openai("The model `x` is blocked at the project level.", "permissions_error", "model_permission_blocked_project")),
        (403, openai("The model `x` is blocked at the project level.", "permissions_error")),
        (400, openrouter(400, "foo/bar is not a valid model ID")),
        (404, openrouter(404, "No endpoints found for foo/bar:free.")),
        (404, openrouter(404, "This model is unavailable for free. The paid version is available now")),
        (400, b'{"object":"error","message":"Invalid model: foo","type":"invalid_model","param":null,"code":"1500"}'),
        (400, b'{"object":"error","message":"Invalid model: foo","type":"x","param":null,"code":null}'),
        (400, openai("Model Not Exist")),
        (404, openai("Unable to access model foo. Please visit https://api.together.ai/models", code="model_not_available")),
        (400, openai("Unable to access non-serverless model foo/bar. Please visit https://x")),
        (404, openai("Model not found, inaccessible, and/or not deployed", "NOT_FOUND", "NOT_FOUND")),
        (404, b'{"code":"The requested resource was not found","error":"The model grok-9 does not exist or your team t does '
              b'not have access to it."}'),
        (404, plain("model 'command' was removed on September 15, 2025. See https://x")),
        (404, plain("model 'x' not found, make sure the correct model ID was used and that you have access to the model.")),
        (404, b'{"status":404,"title":"Not Found","detail":"Function \'1f\': Not found for account \'abc\'"}'),
        (410, b'{"status":410,"title":"Gone","detail":"The model \'x\' has reached its end of life on 2026-01-01."}'),
        (400, plain("The provided model identifier is invalid.")),
        (403, plain("You don't have access to the model with the specified model ID.")),
        (400, plain("Invocation of model ID a.b with on-demand throughput isn\u2019t supported. Retry your request")),
        (400, openai("Unavailable model: x", "", "unavailable_model")),
        (404, openai("Not found the model kimi-x or Permission denied", "resource_not_found_error")),
        (400, b'{"error":{"code":"1211","message":"\xe6\xa8\xa1\xe5\x9e\x8b\xe4\xb8\x8d\xe5\xad\x98\xe5\x9c\xa8"}}'),
        (200, b'{"base_resp":{"status_code":2013,"status_msg":"invalid params, unknown model \'x\'"}}'),
        (404, b'{"error":"model \'x\' not found"}'),
        (404, openai("No models loaded. Please load a model in the developer page or use the `lms load` command.")),
        (400, openai("/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view available models")),
        (401, openai("key not allowed to access model.", "key_model_access_denied", "401", "model")),
        (400, openai("The requested model 'x' is not supported by any provider you have enabled.", code="model_not_supported")),
        (403, openai("The model x is not available in your region.")),
        (403, openai("This model is not supported in this region")),
        (403, openai("You are not allowed to access this model")),
        (403, plain("You do not have permission to use the model x")),
        (422, openai("The model 'x' is no longer available")),
        (503, openai("No available channel for model x under group default", "new_api_error", "model_not_found")),
        (405, openai("The model `x` does not exist")),
        # the key and the credit of a provider behind are not ours
        (403, openrouter(403, "Provider returned error", provider_name="Google", raw='{"error":{"message":"API key not valid"}}')),
        (402, openrouter(402, "Provider returned error", provider_name="Together", raw="Insufficient balance")),
        (401, openrouter(401, "Provider returned error", provider_name="OpenAI")),
        (400, openrouter(400, "Provider returned error", provider_name="Google AI Studio", raw=json.dumps(
            {"error": {"code": 400, "message": "User location is not supported for the API use."}}))),
    ],
    o.LOADING: [
        (503, b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'),
        (503, b'{"error":"llm server loading model"}'), (500, b'{"error":"llm server loading model"}'),
        (503, b'{"error":"Model foo/bar is currently loading","estimated_time":20.0}'),
        (503, openai("The model is still loading, please try again later")),
        (503, plain("Model with name x is not ready.")),
        (503, b"Model is being loaded"), (503, plain("server is starting")),
        (200, b'{"id":"sync-1","status":"IN_QUEUE"}'), (200, b'{"delayTime":1,"id":"x","status":"IN_PROGRESS"}'),
    ],
    o.OVERLOADED: [
        (503, openai("The model is overloaded. Please try again later.")),
        (503, b'{"error":{"message":"busy","type":"unavailable_error"}}'),
    ],
    o.SERVER_ERROR: [
        (500, b'{"error":"error loading model: out of memory"}'), (500, openai("Failed loading model")),
        (200, b'{"id":"sync-1","status":"FAILED"}'),
        (500, openai("the model does not exist any more in memory")),
    ],
    # -- about an allowance
    o.RATE_LIMITED: [
        (429, openai("Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please "
                     "try again in 2s.", "tokens", "rate_limit_exceeded")),
        (429, b'{"error":{"message":"Rate limit exceeded: free-models-per-min. ","code":429,"metadata":{"headers":{}}}}'),
        (403, b'{"error":{"code":403,"details":[{"reason":"RATE_LIMIT_EXCEEDED"}]}}'),
    ],
    # -- about the account
    o.NO_CREDIT: [
        (400, b'{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access '
              b'the Anthropic API. Please go to Plans & Billing"}}'),
        (402, openrouter(402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits")),
        (403, b'{"code":30001,"message":"Sorry, your account balance is insufficient"}'),
        (403, b'{"code":"x","error":"Your newly created team doesn\'t have any credits yet. You can purchase credits"}'),
        (429, b'{"code":"x","error":"Your team t has either used all available credits or reached its monthly spending limit."}'),
        (429, openai("Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED")),
        (400, openai("Access denied, please make sure your account is in good standing.", code="Arrearage")),
        (400, openai("Budget has been exceeded! Current cost: 1, Max budget: 1", "budget_exceeded")),
        (429, openai("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota",
                     "insufficient_quota")),
        (402, openai("You have exceeded your monthly included credits for Inference Providers.")),
    ],
    o.BAD_CREDENTIAL: [
        (403, openai("Your API key was reported as leaked. Please use another API key.", "PERMISSION_DENIED")),
        (403, openai("Invalid API key")), (403, plain("The security token included in the request is invalid.")),
        (400, openai("API key expired. Please renew the API key.")),
        (403, openai("no", code="invalid_api_key")),
        (401, b""), (401, openai("what?")),
    ],
    o.ACCOUNT_BLOCKED: [
        (400, b'[{"error":{"code":400,"message":"User location is not supported for the API use.",'
              b'"status":"FAILED_PRECONDITION"}}]'),
        (403, openai("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory")),
        (403, openai("Country, region, or territory not supported")),
        (403, openai("Your account has been suspended")), (403, openai("This organization has been disabled.")),
        (400, openai("Organization has been restricted. Please reach out to support", code="organization_restricted")),
        (403, plain("Access denied due to Virtual Network/Firewall rules.")),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [(status, body, outcome) for outcome, told in REFUSED.items() for status, body in told],
)
def test_what_a_refusal_is_about(status: int, body: bytes, expected: Outcome) -> None:
    """In the words of some thirty providers; what is not known to be about more is about the call."""
    assert classify(status, read_error(body)).name == expected.name


def test_blame_follows_from_what_it_is_about() -> None:
    """Only what is about the upstream as a whole counts against its health."""
    for one in o.ALL:
        assert (one.blame is Blame.UPSTREAM) == (one.about is About.PROVIDER), one.name
        assert one.was_made == (one not in (o.NO_BUDGET, o.OVER_BUDGET)), one.name
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
