"""Say once what became of an attempt. Breaker, health, failover and metrics read the `Outcome`, never a status code.

The table follows the error codes and texts that providers document or were recorded sending.
"""

from __future__ import annotations

import re

from gateway.types import Blame, Outcome, Then, UpstreamError

_CLIENT, _UPSTREAM, _GATEWAY, _NOBODY = Blame.CLIENT, Blame.UPSTREAM, Blame.GATEWAY, Blame.NOBODY
_RELAY, _AGAIN, _ELSEWHERE = Then.RELAY, Then.AGAIN, Then.ELSEWHERE

# It answered.
OK = Outcome("ok", _NOBODY, _RELAY)
BAD_REQUEST = Outcome("bad_request", _CLIENT, _RELAY)
POLICY = Outcome("policy", _CLIENT, _RELAY)

# It answered, and another may do better.
CONTEXT_LENGTH = Outcome("context_length", _CLIENT, _ELSEWHERE)
RATE_LIMITED = Outcome("rate_limited", _NOBODY, _ELSEWHERE)
QUOTA_EXHAUSTED = Outcome("quota_exhausted", _NOBODY, _ELSEWHERE)
NO_CREDIT = Outcome("no_credit", _GATEWAY, _ELSEWHERE)
BAD_CREDENTIAL = Outcome("bad_credential", _GATEWAY, _ELSEWHERE)
MODEL_MISSING = Outcome("model_missing", _GATEWAY, _ELSEWHERE)
OVERLOADED = Outcome("overloaded", _UPSTREAM, _ELSEWHERE)
SERVER_ERROR = Outcome("server_error", _UPSTREAM, _ELSEWHERE)
WRONG_CONTENT = Outcome("wrong_content", _UPSTREAM, _ELSEWHERE)
EMPTY = Outcome("empty", _UPSTREAM, _ELSEWHERE)

# It did not answer.
NO_CONNECT = Outcome("no_connect", _UPSTREAM, _ELSEWHERE)
CONNECT_TIMEOUT = Outcome("connect_timeout", _UPSTREAM, _ELSEWHERE)
FIRST_BYTE_TIMEOUT = Outcome("first_byte_timeout", _UPSTREAM, _ELSEWHERE)
FIRST_TOKEN_TIMEOUT = Outcome("first_token_timeout", _UPSTREAM, _ELSEWHERE)
TOTAL_TIMEOUT = Outcome("total_timeout", _UPSTREAM, _ELSEWHERE)
# It began to answer and fell silent, and none of it had been relayed. After that it is IDLE_TIMEOUT.
STALLED = Outcome("stalled", _UPSTREAM, _ELSEWHERE)
BROKEN = Outcome("broken", _UPSTREAM, _ELSEWHERE)
MALFORMED = Outcome("malformed", _UPSTREAM, _ELSEWHERE)
# A kept connection that the other side closed while our request was under way (RFC 9112 section 9.3.1).
STALE = Outcome("stale", _NOBODY, _AGAIN)

# It had been relayed in part.
TRUNCATED = Outcome("truncated", _UPSTREAM, _RELAY)
IDLE_TIMEOUT = Outcome("idle_timeout", _UPSTREAM, _RELAY)
STREAM_ERROR = Outcome("stream_error", _UPSTREAM, _RELAY)

# It was never asked: the retries of its provider are used up for the moment.
NO_BUDGET = Outcome("no_retry_budget", _GATEWAY, _ELSEWHERE)
# It was never asked: a budget of money has no room for it.
OVER_BUDGET = Outcome("over_budget", _GATEWAY, _ELSEWHERE)

# Nobody was there to receive it.
HUNG_UP = Outcome("hung_up", _CLIENT, _RELAY)

# The gateway itself ended it.
SHUT_DOWN = Outcome("shut_down", _GATEWAY, _RELAY)

_BY_STATUS = {
    400: BAD_REQUEST,
    401: BAD_CREDENTIAL,
    402: NO_CREDIT,
    403: BAD_CREDENTIAL,
    404: MODEL_MISSING,
    405: MODEL_MISSING,  # the endpoint is not served there
    408: OVERLOADED,
    409: BAD_REQUEST,
    412: NO_CREDIT,  # Fireworks: account suspended or spend limit reached
    413: BAD_REQUEST,
    415: BAD_REQUEST,
    422: BAD_REQUEST,
    429: RATE_LIMITED,
    498: OVERLOADED,  # Groq: flex capacity exceeded
    499: OVERLOADED,
    501: MODEL_MISSING,  # llama.cpp: not_supported_error
    503: OVERLOADED,
    524: OVERLOADED,
    529: OVERLOADED,  # Anthropic: overloaded_error
}

# What `error.code` or `error.type` says outweighs the status it came with.
_BY_CODE = {
    "context_length_exceeded": CONTEXT_LENGTH,
    "exceed_context_size_error": CONTEXT_LENGTH,
    "too_many_tokens": CONTEXT_LENGTH,
    "insufficient_quota": NO_CREDIT,
    "exceeded_current_quota_error": NO_CREDIT,
    "billing_error": NO_CREDIT,
    "1113": NO_CREDIT,  # Z.AI: no balance
    "1008": NO_CREDIT,  # MiniMax: insufficient balance
    "enforced_spend_limit_reached": QUOTA_EXHAUSTED,
    "openrouter_free_tier_daily": QUOTA_EXHAUSTED,
    "1002": RATE_LIMITED,  # MiniMax: rate limit
    "1302": RATE_LIMITED,  # Z.AI: concurrency
    "1303": RATE_LIMITED,
    "1305": RATE_LIMITED,
    "rate_limit_exceeded": RATE_LIMITED,
    "rate_limit_error": RATE_LIMITED,
    "rate_limit_reached_error": RATE_LIMITED,
    "ratelimitreached": RATE_LIMITED,
    "openrouter_in_flight_budget": RATE_LIMITED,  # a 402 that passes by itself
    "engine_overloaded_error": OVERLOADED,
    "overloaded_error": OVERLOADED,
    "provider_overloaded": OVERLOADED,
    "provider_unavailable": OVERLOADED,
    "unavailable_error": OVERLOADED,
    "upstream_busy": OVERLOADED,
    "invalid_api_key": BAD_CREDENTIAL,
    "api_key_invalid": BAD_CREDENTIAL,
    "authentication_error": BAD_CREDENTIAL,
    "invalid_authentication_error": BAD_CREDENTIAL,
    "incorrect_api_key_error": BAD_CREDENTIAL,
    "1004": BAD_CREDENTIAL,  # MiniMax
    "2049": BAD_CREDENTIAL,  # MiniMax: invalid key
    "model_not_found": MODEL_MISSING,
    "deploymentnotfound": MODEL_MISSING,
    "content_policy_violation": POLICY,
    "content_filter": POLICY,
    "refusal": POLICY,
}

# For providers whose codes say nothing. Lower case.
_BY_TEXT = (
    ("maximum context length", CONTEXT_LENGTH),
    ("prompt is too long", CONTEXT_LENGTH),
    ("prompt too long", CONTEXT_LENGTH),
    ("exceeds the available context size", CONTEXT_LENGTH),
    ("free-models-per-day", QUOTA_EXHAUSTED),
    ("reached your specified", NO_CREDIT),
    ("incorrect api key", BAD_CREDENTIAL),
    ("api key not valid", BAD_CREDENTIAL),
    ("invalid api key", BAD_CREDENTIAL),
)

_SUCCESS = range(200, 300)
_STATUS = re.compile(r"[45][0-9]{2}")
# Where the code may change what a status means; of the others the status says it all.
_CODE_COUNTS = frozenset({200, 400, 402, 403, 404, 413, 422, 429, 500, 502, 503})


def classify(status: int, error: UpstreamError | None) -> Outcome:
    """Return what an answer with this status and (parsed) error body means.

    An error inside a 200 is an error: OpenRouter and MiniMax send them.
    """
    if status in _SUCCESS and error is None:
        return OK
    if error is not None and status in _CODE_COUNTS:
        for code in (error.code, error.type):
            if code and (known := _BY_CODE.get(code.lower())):
                return QUOTA_EXHAUSTED if known is RATE_LIMITED and error.per_day else known
        if error.per_day:
            return QUOTA_EXHAUSTED
        text = error.message.lower()
        for phrase, known in _BY_TEXT:
            if phrase in text:
                return known
        if status in _SUCCESS and error.code and _STATUS.fullmatch(error.code):
            return _by_status(int(error.code))
    return SERVER_ERROR if status in _SUCCESS else _by_status(status)


def _by_status(status: int) -> Outcome:
    if known := _BY_STATUS.get(status):
        return known
    # A redirect is never followed: it would carry the key to wherever it points.
    if status < 400:
        return WRONG_CONTENT
    return SERVER_ERROR if status >= 500 else BAD_REQUEST
