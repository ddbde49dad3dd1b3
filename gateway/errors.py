"""The refusals that the gateway sends to clients.

Rule: an upstream's failure is a value (`core.outcome`); only a refusal to the client is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


# For refusals that a retry cannot change. Without this header, SDKs retry 408, 409, 429 and 5xx.
NO_RETRY = (b"x-should-retry", b"false")


class Refusal(Exception):
    """The refusal of a request, with everything that a dialect needs to write it.

    `type` and `code` use OpenAI's vocabulary; other dialects translate. `message` names the thing and the remedy.
    Agents decide by `type` whether to retry (opencode repeats a `server_error` for ever, whatever its status). The type
    therefore always agrees with the status: a `status` other than the class's own also sets the matching type.
    """

    status = 400
    type = "invalid_request_error"
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = tuple(headers)
        if code is not None:
            self.code = code
        if status is not None and status != self.status:
            if min(status, self.status) < 500:
                self.type = type_of(status)
            self.status = status


def type_of(status: int) -> str:
    """Return OpenAI's `type` of an error with this status."""
    if status >= 500:
        return "server_error"
    return {403: "permission_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")


class BadRequest(Refusal):
    """The request cannot be understood: malformed JSON, a wrong type, a missing field."""

    code = "invalid_request"


class UnsupportedMediaType(Refusal):
    """The body has a media type that this endpoint does not read."""

    status = 415
    code = "unsupported_media_type"


class BodyTooLarge(Refusal):
    """The body is larger than `server.max_body`."""

    status = 413
    code = "body_too_large"


class RequestTimeout(Refusal):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"


class Unauthorized(Refusal):
    """The request has no credential, or an unknown one."""

    status = 401
    code = "invalid_api_key"


class Forbidden(Refusal):
    """The caller may not do this: another host's page, or an address outside loopback without keys."""

    status = 403
    type = "permission_error"
    code = "forbidden"


class ModelNotFound(Refusal):
    """The requested `model` is unknown."""

    status = 404
    code = "model_not_found"


class NotFound(Refusal):
    """The path does not exist."""

    status = 404
    code = "not_found"


class MethodNotAllowed(Refusal):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class NoCandidate(Refusal):
    """The name is known, but every upstream behind it is unusable (no key, disabled)."""

    status = 503
    type = "server_error"
    code = "no_usable_upstream"


class Cancelled(Refusal):
    """An administrator has cancelled the call."""

    status = 503
    type = "server_error"
    code = "cancelled_by_operator"

    def __init__(self) -> None:
        super().__init__(CANCELLED, headers=[NO_RETRY])


CANCELLED = "the operator of the gateway has cancelled this call"


class ShuttingDown(Refusal):
    """The gateway is shutting down, and the call did not end within `server.drain`."""

    status = 503
    type = "server_error"
    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("the gateway is shutting down; send the request again", headers=[(b"retry-after", b"1")])


class UpstreamsFailed(Refusal):
    """Every upstream that was tried has failed."""

    status = 502
    type = "upstream_error"
    code = "upstreams_failed"


class BudgetExhausted(Refusal):
    """A budget has no room for the call: it is spent, or other calls hold the rest of it."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"


class ConfigError(Exception):
    """The configuration cannot be used. `problems`: every mistake, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
