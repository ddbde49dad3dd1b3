"""Lower `max_tokens` for an upstream that would refuse it, and say so. For `strict_max_tokens` providers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.room import most_output
from gateway.dialects.needs import lowered_limits
from gateway.types import Params

if TYPE_CHECKING:
    from gateway.types import Call, Candidate, Needs


def lowered_params(call: Call, candidate: Candidate, needs: Needs) -> Params:
    """Return the parameters of a candidate, with lower limits forced where it would refuse the client's."""
    params = candidate.params
    most = _most(candidate, needs)
    return params if most is None else Params(params.defaults, {**lowered_limits(call, most), **params.forced})


def lowering_line(call: Call, candidate: Candidate, needs: Needs) -> bytes:
    """Return the header line that tells the client from what to what, or nothing. What is forced is not lowered."""
    most = _most(candidate, needs)
    if most is None or lowered_limits(call, most).keys() <= candidate.params.forced.keys():
        return b""
    return b"x-gateway-max-tokens: %d->%d\r\n" % (needs.output_tokens, most)


def _most(candidate: Candidate, needs: Needs) -> int | None:
    """The longest answer that may be asked for, if that is shorter than what the client allows."""
    most = most_output(candidate.upstream.ability, needs) if needs.output_tokens else None
    return most if most is not None and most < needs.output_tokens else None
