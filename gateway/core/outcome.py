"""Classify the result of an attempt. Breaker, health, failover and metrics read the `Outcome`, never a status code.

The subject of an outcome (`About`) is decided here too. It alone determines what is set aside, for whom and for how
long: one caller's refused call must never take an upstream away from other callers. A refusal therefore concerns more
than its own call only if it says so in known words (`core.refusals`); docs/providers.md has the table.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.core import refusals as words
from gateway.types import About, Blame, Outcome, Then

if TYPE_CHECKING:
    from gateway.types import UpstreamError

_CLIENT, _UPSTREAM, _GATEWAY, _NOBODY = Blame.CLIENT, Blame.UPSTREAM, Blame.GATEWAY, Blame.NOBODY
_RELAY, _AGAIN, _ELSEWHERE = Then.RELAY, Then.AGAIN, Then.ELSEWHERE
_CALL, _MODEL, _PROVIDER = About.CALL, About.MODEL, About.PROVIDER

# How long the subject of an outcome is set aside.
# A rate limit that does not say when it ends.
LIMITED_S = 5.0
# An exhausted daily or monthly quota that does not say when it ends: try again now and then.
QUOTA_S = 15 * 60.0
# A key or an account that a person must repair. The repair should be noticed soon.
ACCOUNT_S = 30.0
# A model that the provider does not have. Missing models seldom return, but a freshly pulled one must be found soon.
MISSING_S = 5 * 60.0
# A server that is loading its model. Others get the calls meanwhile.
LOADING_S = 1.0

# The upstream answered.
OK = Outcome("ok", _NOBODY, _RELAY, About.NOBODY)
BAD_REQUEST = Outcome("bad_request", _CLIENT, _RELAY, _CALL)
POLICY = Outcome("policy", _CLIENT, _RELAY, _CALL)

# The upstream refused this call; another may accept it.
CONTEXT_LENGTH = Outcome("context_length", _CLIENT, _ELSEWHERE, _CALL)
# The call is larger than the account's limits allow for a single call, even when they are unused.
TOO_LARGE = Outcome("too_large", _CLIENT, _ELSEWHERE, _CALL)
# The call costs more than the remaining credit; a smaller call would pass.
UNAFFORDABLE = Outcome("unaffordable", _CLIENT, _ELSEWHERE, _CALL)
# The model does not support tools, pictures or the like.
UNSUPPORTED = Outcome("unsupported", _CLIENT, _ELSEWHERE, _CALL)
# A 403 without a known reason: a firewall's page, or a missing permission for this call.
FORBIDDEN = Outcome("forbidden", _GATEWAY, _ELSEWHERE, _CALL)
# Something that the call names does not exist: a file, an earlier response.
NOT_FOUND = Outcome("not_found", _CLIENT, _ELSEWHERE, _CALL)
# The provider does not serve the endpoint. Its other endpoints still work, so nothing is set aside.
ENDPOINT_MISSING = Outcome("endpoint_missing", _GATEWAY, _ELSEWHERE, _CALL)

# The upstream refused for a reason that applies to other calls too.
MODEL_MISSING = Outcome("model_missing", _GATEWAY, _ELSEWHERE, _MODEL, MISSING_S)
LOADING = Outcome("loading", _NOBODY, _ELSEWHERE, _MODEL, LOADING_S)
RATE_LIMITED = Outcome("rate_limited", _NOBODY, _ELSEWHERE, About.ALLOWANCE, LIMITED_S)
QUOTA_EXHAUSTED = Outcome("quota_exhausted", _NOBODY, _ELSEWHERE, About.ALLOWANCE, QUOTA_S)
NO_CREDIT = Outcome("no_credit", _GATEWAY, _ELSEWHERE, About.CREDIT, ACCOUNT_S)
BAD_CREDENTIAL = Outcome("bad_credential", _GATEWAY, _ELSEWHERE, About.ACCOUNT, ACCOUNT_S)
# The account is suspended, or its region is not served.
ACCOUNT_BLOCKED = Outcome("account_blocked", _GATEWAY, _ELSEWHERE, About.ACCOUNT, ACCOUNT_S)

# The upstream failed.
OVERLOADED = Outcome("overloaded", _UPSTREAM, _ELSEWHERE, _PROVIDER)
SERVER_ERROR = Outcome("server_error", _UPSTREAM, _ELSEWHERE, _PROVIDER)
WRONG_CONTENT = Outcome("wrong_content", _UPSTREAM, _ELSEWHERE, _PROVIDER)
EMPTY = Outcome("empty", _UPSTREAM, _ELSEWHERE, _PROVIDER)

# The upstream did not answer.
NO_CONNECT = Outcome("no_connect", _UPSTREAM, _ELSEWHERE, _PROVIDER, sent=False)
CONNECT_TIMEOUT = Outcome("connect_timeout", _UPSTREAM, _ELSEWHERE, _PROVIDER, sent=False)
FIRST_BYTE_TIMEOUT = Outcome("first_byte_timeout", _UPSTREAM, _ELSEWHERE, _PROVIDER)
FIRST_TOKEN_TIMEOUT = Outcome("first_token_timeout", _UPSTREAM, _ELSEWHERE, _PROVIDER)
# The gateway's own deadline for the whole call. The attempt may have begun late, or its answer may merely be long.
TOTAL_TIMEOUT = Outcome("total_timeout", _NOBODY, _ELSEWHERE, About.CLOCK)
# The answer began and fell silent before any of it was relayed. Afterwards it would be IDLE_TIMEOUT.
STALLED = Outcome("stalled", _UPSTREAM, _ELSEWHERE, _PROVIDER)
BROKEN = Outcome("broken", _UPSTREAM, _ELSEWHERE, _PROVIDER)
MALFORMED = Outcome("malformed", _UPSTREAM, _ELSEWHERE, _PROVIDER)
# The upstream closed a kept connection while the request was on its way (RFC 9112 section 9.3.1).
STALE = Outcome("stale", _NOBODY, _AGAIN, About.NOBODY)

# The answer failed after a part of it was relayed.
TRUNCATED = Outcome("truncated", _UPSTREAM, _RELAY, _PROVIDER)
IDLE_TIMEOUT = Outcome("idle_timeout", _UPSTREAM, _RELAY, _PROVIDER)
STREAM_ERROR = Outcome("stream_error", _UPSTREAM, _RELAY, _PROVIDER)
# An error event in the stream refuses the call, for example for its content.
STREAM_REFUSED = Outcome("stream_refused", _CLIENT, _RELAY, _CALL)

# The attempt was not made: the provider's retries are used up for the moment.
NO_BUDGET = Outcome("no_retry_budget", _GATEWAY, _ELSEWHERE, About.NOBODY, sent=False)
# The attempt was not made: a money budget has no room for it.
OVER_BUDGET = Outcome("over_budget", _GATEWAY, _ELSEWHERE, About.NOBODY, sent=False)
# The attempt was not made: a limit that the operator declared for the provider is reached.
AT_LIMIT = Outcome("at_declared_limit", _NOBODY, _ELSEWHERE, About.NOBODY, sent=False)

# The client had left.
HUNG_UP = Outcome("hung_up", _CLIENT, _RELAY, _CALL)

# The gateway was shutting down.
SHUT_DOWN = Outcome("shut_down", _GATEWAY, _RELAY, About.NOBODY)

# An administrator cancelled the call.
CANCELLED = Outcome("cancelled", _NOBODY, _RELAY, About.NOBODY)

ALL: tuple[Outcome, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Outcome))
BY_NAME = {outcome.name: outcome for outcome in ALL}

_BY_STATUS = {
    400: BAD_REQUEST,
    401: BAD_CREDENTIAL,
    402: NO_CREDIT,
    403: FORBIDDEN,
    404: NOT_FOUND,
    405: ENDPOINT_MISSING,
    408: OVERLOADED,
    409: BAD_REQUEST,
    410: NOT_FOUND,
    412: NO_CREDIT,  # Fireworks: account suspended or spend limit reached
    413: TOO_LARGE,
    415: BAD_REQUEST,
    422: BAD_REQUEST,
    429: RATE_LIMITED,
    451: FORBIDDEN,
    498: OVERLOADED,  # Groq: flex capacity exceeded
    499: OVERLOADED,
    501: ENDPOINT_MISSING,  # llama.cpp: not_supported_error
    503: OVERLOADED,
    529: OVERLOADED,  # Anthropic: overloaded_error
}

# Meanings of `error.code` and `error.type`. They outweigh the status.
_BY_CODE = {
    "context_length_exceeded": CONTEXT_LENGTH,
    "exceed_context_size_error": CONTEXT_LENGTH,
    "too_many_tokens": CONTEXT_LENGTH,
    "1261": CONTEXT_LENGTH,  # Z.AI
    "request_too_large": TOO_LARGE,
    "tokens_limit_reached": TOO_LARGE,  # GitHub Models
    "insufficient_quota": NO_CREDIT,
    "insufficient_credits": NO_CREDIT,
    "insufficient_balance": NO_CREDIT,
    "exceeded_current_quota_error": NO_CREDIT,
    "billing_error": NO_CREDIT,
    "billing_hard_limit_reached": NO_CREDIT,
    "billing_not_active": NO_CREDIT,
    "billing_disabled": NO_CREDIT,
    "budget_exceeded": NO_CREDIT,  # LiteLLM
    "arrearage": NO_CREDIT,  # Alibaba
    "accountoverdueerror": NO_CREDIT,  # Volcengine
    "1113": NO_CREDIT,  # Z.AI: no balance
    "1008": NO_CREDIT,  # MiniMax: insufficient balance
    "30001": NO_CREDIT,  # SiliconFlow
    "enforced_spend_limit_reached": QUOTA_EXHAUSTED,
    "openrouter_free_tier_daily": QUOTA_EXHAUSTED,
    "allocationquota.freetieronly": QUOTA_EXHAUSTED,  # Alibaba
    "1002": RATE_LIMITED,  # MiniMax: rate limit
    "1302": RATE_LIMITED,  # Z.AI: concurrency
    "1303": RATE_LIMITED,
    "1305": RATE_LIMITED,
    "rate_limit_exceeded": RATE_LIMITED,
    "ratelimitexceeded": RATE_LIMITED,
    "rate_limit_error": RATE_LIMITED,
    "rate_limit_reached_error": RATE_LIMITED,
    "ratelimitreached": RATE_LIMITED,
    "openrouter_in_flight_budget": RATE_LIMITED,  # a 402 that ends by itself
    "engine_overloaded_error": OVERLOADED,
    "overloaded_error": OVERLOADED,
    "provider_overloaded": OVERLOADED,
    "provider_unavailable": OVERLOADED,
    "unavailable_error": OVERLOADED,
    "upstream_busy": OVERLOADED,
    "model_loading": LOADING,
    "in_queue": LOADING,  # RunPod
    "in_progress": LOADING,
    "invalid_api_key": BAD_CREDENTIAL,
    "api_key_invalid": BAD_CREDENTIAL,
    "api_key_expired": BAD_CREDENTIAL,
    "expired_api_key": BAD_CREDENTIAL,
    "authentication_error": BAD_CREDENTIAL,
    "invalid_authentication_error": BAD_CREDENTIAL,
    "incorrect_api_key_error": BAD_CREDENTIAL,
    "unauthenticated": BAD_CREDENTIAL,
    "unrecognizedclientexception": BAD_CREDENTIAL,  # AWS
    "expiredtokenexception": BAD_CREDENTIAL,
    "invalidsignatureexception": BAD_CREDENTIAL,
    "1004": BAD_CREDENTIAL,  # MiniMax
    "2049": BAD_CREDENTIAL,  # MiniMax: invalid key
    "unsupported_country_region_territory": ACCOUNT_BLOCKED,
    "account_deactivated": ACCOUNT_BLOCKED,
    "account_suspended": ACCOUNT_BLOCKED,
    "organization_restricted": ACCOUNT_BLOCKED,  # Groq
    "access_terminated_error": ACCOUNT_BLOCKED,  # Moonshot
    "consumer_suspended": ACCOUNT_BLOCKED,  # Google
    "service_disabled": ACCOUNT_BLOCKED,
    "api_key_service_blocked": ACCOUNT_BLOCKED,
    "api_key_ip_address_blocked": ACCOUNT_BLOCKED,
    "1112": ACCOUNT_BLOCKED,  # Z.AI: locked
    "model_not_found": MODEL_MISSING,
    "modelnotfound": MODEL_MISSING,
    "model_decommissioned": MODEL_MISSING,
    "model_deprecated": MODEL_MISSING,
    "model_terms_required": MODEL_MISSING,  # Groq
    "model_permission_blocked_project": MODEL_MISSING,
    "model_permission_blocked_org": MODEL_MISSING,
    "model_not_available": MODEL_MISSING,  # Together
    "model_not_supported": MODEL_MISSING,  # Hugging Face
    "invalid_model": MODEL_MISSING,  # Mistral, Perplexity
    "1500": MODEL_MISSING,
    "1211": MODEL_MISSING,  # Z.AI
    "20012": MODEL_MISSING,  # SiliconFlow
    "30003": MODEL_MISSING,
    "unknown_model": MODEL_MISSING,
    "unavailable_model": MODEL_MISSING,
    "model.accessdenied": MODEL_MISSING,  # Alibaba
    "modelnotopen": MODEL_MISSING,  # Volcengine
    "invalidendpointormodel.notfound": MODEL_MISSING,
    "key_model_access_denied": MODEL_MISSING,  # LiteLLM
    "team_model_access_denied": MODEL_MISSING,
    "deploymentnotfound": MODEL_MISSING,
    "unknown_url": ENDPOINT_MISSING,
    "not_supported_error": ENDPOINT_MISSING,  # llama.cpp
    "content_policy_violation": POLICY,
    "content_filter": POLICY,
    "contentfilter": POLICY,
    "moderation_blocked": POLICY,
    "responsibleaipolicyviolation": POLICY,
    "data_inspection_failed": POLICY,  # Alibaba
    "datainspectionfailed": POLICY,
    "invalid_prompt": POLICY,
    "refusal": POLICY,
    "1301": POLICY,  # Z.AI
    "1026": POLICY,  # MiniMax
    "1027": POLICY,
    # The client's own mistakes. The code decides even if the message quotes words of the request.
    "invalid_type": BAD_REQUEST,
    "invalid_value": BAD_REQUEST,
    "invalid_json": BAD_REQUEST,
    "invalid_function_parameters": BAD_REQUEST,
    "missing_required_parameter": BAD_REQUEST,
    "unknown_parameter": BAD_REQUEST,
    "unsupported_parameter": BAD_REQUEST,
    "unsupported_value": BAD_REQUEST,
    "integer_above_max_value": BAD_REQUEST,
    "integer_below_min_value": BAD_REQUEST,
    "decimal_above_max_value": BAD_REQUEST,
    "decimal_below_min_value": BAD_REQUEST,
}

_SUCCESS = range(200, 300)
_STATUS = re.compile(r"[45][0-9]{2}")
_REFUSED = frozenset({200, 400, 403, 404, 405, 410, 422, 501})
_FAILED = frozenset({200, 500, 502, 503})
_SIZE = _REFUSED | {402, 413, 429, 500, 502, 503}
# Statuses whose meaning a code may change. For all others the status decides.
_CODE_COUNTS = _REFUSED | _FAILED | {402, 413, 429}

# Meanings of texts, for providers without useful codes, each with the statuses it applies to. The first match counts.
_BY_TEXT: tuple[tuple[re.Pattern[str], Outcome, frozenset[int]], ...] = (
    (words.LOADING, LOADING, _FAILED),
    (words.UNAFFORDABLE, UNAFFORDABLE, _SIZE),
    (words.CONTEXT, CONTEXT_LENGTH, _SIZE),
    (words.TOO_LARGE, TOO_LARGE, _SIZE),
    (words.DAILY, QUOTA_EXHAUSTED, _SIZE),
    (words.POLICY, POLICY, _REFUSED),
    (words.CREDENTIAL, BAD_CREDENTIAL, _REFUSED),
    (words.TOKEN, BAD_CREDENTIAL, frozenset({403})),
    (words.CREDIT, NO_CREDIT, _REFUSED | {402, 429}),
    (words.UNSUPPORTED, UNSUPPORTED, _REFUSED | {500}),
    (words.MISMATCH, ENDPOINT_MISSING, _REFUSED | {500}),
    (words.ENDPOINT, ENDPOINT_MISSING, frozenset({404, 405, 501})),
    (words.MODEL, MODEL_MISSING, _REFUSED),
    (words.BLOCKED, ACCOUNT_BLOCKED, _REFUSED),
    (words.REGION, ACCOUNT_BLOCKED, frozenset({403})),
)
# A complaint about a field is the client's mistake, except for these: they hold content that a model may not support.
_FIELDS_OF_CONTENT = ("messages", "input", "prompt", "contents", "tools", "max_", "instructions")
# These outcomes shut other calls out, so a complaint that names a field of the request never means them.
_SHUTS_OUT = frozenset({About.MODEL, About.ACCOUNT, About.CREDIT})


def classify(status: int, error: UpstreamError | None) -> Outcome:
    """Return the outcome of an answer with this status and (parsed) error body.

    An error inside a 200 is an error: OpenRouter and MiniMax send them. Codes count before texts, and texts before the
    status. No refusal concerns the account or the model unless it says so.
    """
    if error is None:
        return OK if status in _SUCCESS else _by_status(status, page=False)
    found = _said(status, error)
    if found.about in _SHUTS_OUT and error.behind:
        return MODEL_MISSING  # the key or credit belongs to a provider behind this one: other models still work
    return found


def classify_late(error: UpstreamError) -> Outcome:
    """Return the outcome of an error that comes after content was relayed: a refusal of the call, or a failure."""
    return STREAM_REFUSED if classify(200, error).about is About.CALL else STREAM_ERROR


def _said(status: int, error: UpstreamError) -> Outcome:
    if status == 401:
        return _unauthorized(error)
    if status not in _CODE_COUNTS:
        return _by_status(status, page=error.page)
    text = "" if error.page else words.plain_words(error.message)
    found = _of_code(error, text)
    if found is None and error.flagged and status in _REFUSED:
        found = POLICY
    if found is None:
        found = _by_text(status, error, text)
    if found is not None:
        return found
    if status in _SUCCESS:
        is_status = error.code is not None and _STATUS.fullmatch(error.code)
        return _said(int(error.code), replace(error, code=None)) if is_status and error.code else SERVER_ERROR
    if error.param == "model" and status in _REFUSED:
        return UNSUPPORTED
    return _by_status(status, page=error.page)


def _of_code(error: UpstreamError, text: str) -> Outcome | None:
    """Return the meaning of the code; the text decides where a code has two meanings."""
    known = _by_code(error)
    if known is None or known is RATE_LIMITED:
        if words.wants_more_than_the_limit(text) or (known is not None and words.TOO_LARGE.search(text)):
            return TOO_LARGE
        return QUOTA_EXHAUSTED if error.per_day else known
    if known is OVERLOADED and words.LOADING.search(text):
        return LOADING
    # The gateway fills in `model`, so "invalid value" of that field means: this model is not for such a call. A missing
    # model in any other field is one that the client named, for example for a tool.
    names_ours = error.param == "model"
    if (known is BAD_REQUEST and names_ours) or (known is MODEL_MISSING and error.param and not names_ours):
        return UNSUPPORTED
    return known


def _unauthorized(error: UpstreamError) -> Outcome:
    """Return the outcome of a 401: our key is bad, unless the error says that only this call is not allowed."""
    by_code = _by_code(error)
    if by_code is MODEL_MISSING or by_code is ACCOUNT_BLOCKED:
        return by_code
    return FORBIDDEN if words.SCOPE.search(words.plain_words(error.message)) else BAD_CREDENTIAL


def _by_code(error: UpstreamError) -> Outcome | None:
    for code in (error.code, error.type):
        if code and (known := _BY_CODE.get(code.lower())):
            return known
    return None


def _by_text(status: int, error: UpstreamError, text: str) -> Outcome | None:
    if error.page:
        return ENDPOINT_MISSING if status in (404, 405, 501) else None
    for pattern, outcome, statuses in _BY_TEXT:
        if status in statuses and pattern.search(text) and _may_mean(outcome, error.param, text):
            return outcome
    return None


def _may_mean(outcome: Outcome, param: str | None, text: str) -> bool:
    """Tell whether a complaint about this field of the request, in these words, can mean this outcome."""
    if outcome.about in _SHUTS_OUT and outcome is not LOADING:
        return param in (None, "model") and not words.THIRD_PARTY.search(text)
    return outcome is not UNSUPPORTED or param in (None, "model") or param.startswith(_FIELDS_OF_CONTENT)


def _by_status(status: int, *, page: bool) -> Outcome:
    known = _BY_STATUS.get(status)
    if page and 400 <= status < 500 and (known is None or known in (BAD_REQUEST, NOT_FOUND)):
        return FORBIDDEN  # a firewall in front of the API refused the call
    if known is not None:
        return known
    # Redirects are never followed: they would take the key to another host.
    if status < 400:
        return WRONG_CONTENT
    return SERVER_ERROR if status >= 500 else BAD_REQUEST
