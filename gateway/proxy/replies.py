"""The head of an answer: the upstream's header lines, and ours about where the answer comes from and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.failover import may_be_retried
from gateway.core.fallbacks import header as reason_header
from gateway.core.money import header_usd
from gateway.dialects.endpoints import dialect_of
from gateway.errors import NO_RETRY
from gateway.proxy.corrections import corrected
from gateway.proxy.headers import relayed
from gateway.proxy.request import lowering_line
from gateway.proxy.verdicts import is_ours, made, plan_in_a_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.fallbacks import Passed
    from gateway.proxy.admission import Admission
    from gateway.proxy.answer import Answer
    from gateway.types import Attempt, Endpoint, Plan, Route

NO_RETRY_LINE = b"%b: %b\r\n" % NO_RETRY


def lines_of(
    admission: Admission, plan: Plan, route: Route, attempts: Sequence[Attempt], passed: Sequence[Passed],
    answer: Answer, cost_nanousd: int | None = None, *, bridge: bytes = b"",
) -> bytes:  # fmt: skip
    """Return the header lines of the answer to the last of `attempts`.

    `passed`: the candidates that stood before the one that answers. `cost_nanousd`: of the answer; None: not known yet.
    `bridge`: lines about the bridge that the call took.
    """
    candidate = attempts[-1].candidate
    upstream = candidate.upstream
    judge, headers, fields = answer.judge, answer.headers, answer.fields
    if judge.content_type is not None or judge.is_decoded:
        headers = corrected(headers, judge.content_type, is_decoded=judge.is_decoded)
        fields = dict(reversed(headers))
    lines = relayed(headers, fields)
    if answer.status >= 400 or answer.mask.occurs(lines):
        lines = answer.mask.bytes(lines)
    number = 1 if len(attempts) == 1 else made(attempts)
    ours = b"%bx-request-id: %b\r\nx-gateway-attempts: %d\r\n%b" % (
        lines, admission.request_id, number, admission.ruleset.lines(route, upstream),
    )  # fmt: skip
    if cost_nanousd is not None:
        ours += b"x-gateway-cost-usd: %b\r\n" % header_usd(cost_nanousd)
    if line := admission.ruleset.doubts(route, candidate, admission.call):
        ours += line
    if bridge:
        ours += bridge
    if passed:
        ours += b"x-gateway-fallback-reason: %b\r\n" % reason_header(passed)
    if upstream.provider.strict_max_tokens:
        ours += lowering_line(admission.call, candidate, admission.terms.needs)
    if admission.terms.explain:
        ours += b"x-gateway-plan: %b\r\n" % plan_in_a_header(plan)
    return ours


def is_best_answer(plan: Plan, last: Attempt, answer: Answer) -> bool:
    """Tell whether the upstream's own error is the best answer to a call: there is no other candidate to speak of.

    A redirect is not relayed, because SDKs would follow it.
    """
    return len(plan.order) == 1 and answer.status >= 400 and not is_ours(last)


def own_error(last: Attempt, answer: Answer, lines: bytes, endpoint: Endpoint) -> tuple[bytes, bytes]:
    """Return the header lines and the body of an upstream's own error. `lines`: of any answer."""
    body = answer.body()
    if last.outcome is o.CONTEXT_LENGTH and b"content-encoding" not in answer.fields:
        body = dialect_of(endpoint).too_long(body)
    return (lines if may_be_retried(last.outcome, last.retry_after_s) else lines + NO_RETRY_LINE), body


def length_of(answer: Answer) -> int | None:
    """Return the length that the upstream announced, where the client will get as much."""
    judge = answer.judge
    if judge.is_decoded or (judge.reader is not None and judge.reader.strips_usage):
        return None
    length = answer.fields.get(b"content-length")
    # int() reads "+1" and "1_0", which are no lengths (RFC 9110 section 8.6).
    return int(length) if length is not None and length.isdigit() else None
