"""Choose how a call passes to a provider: straight, if both speak one dialect, or over the bridge.

A straight passage is the rule, and byte for byte: nothing of this module is on its way. A bridged call is written anew
in the provider's dialect (`Bridge.cross`), and from there on it is a call like any other: its model is spliced, its
parameters are added, its needs are read. Its answer is judged in the provider's dialect and written in the client's
(`bridged.BridgedJudge`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gateway.dialects import seals
from gateway.dialects.body import read_call
from gateway.dialects.endpoints import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.dialects.dialect import Codec, Dialect
    from gateway.types import Call, Endpoint


@dataclass(frozen=True, slots=True)
class Straight:
    """The provider speaks the client's dialect."""

    dialect: Dialect


class Crossed(NamedTuple):
    """A call in the provider's dialect."""

    call: Call
    lost: tuple[str, ...]
    """What could not be said in it, in the client's words."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The provider speaks another dialect."""

    near: Dialect
    """The client's."""
    far: Dialect
    """The provider's."""
    near_codec: Codec
    far_codec: Codec

    def cross(self, call: Call, provider: str = "") -> Crossed:
        """Return a call in the provider's dialect, still for the model as the client named it.

        `provider`: whose seals go back in it; empty: those of every provider of the dialect (`seals`).

        Raises:
            BadRequest: the call is not one that the client's own dialect allows.
        """
        ask, left_out = seals.unmarked(self.near_codec.parse(call), seals.owner_of(self.far.name, provider))
        written = self.far_codec.write(ask, call.model)
        lost = dict.fromkeys((*written.lost, seals.LOST)) if left_out else written.lost
        return Crossed(read_call(self.far_codec.endpoint, written.body), tuple(lost))


Passage = Straight | Bridge


def passage(endpoint: Endpoint, spoken: Iterable[str]) -> Passage | None:
    """Return how calls of an endpoint pass to a provider; None: not at all.

    `spoken`: the names of the provider's dialects, the ones it speaks best first. An operation that no dialect can
    translate, such as embeddings, passes straight: whether the provider serves it is the provider's to say.
    """
    client = DIALECTS[endpoint.dialect]
    spoken = tuple(spoken)
    if client.codec is None or client.name in spoken:
        return Straight(client)
    if client.codec.endpoint is not endpoint:
        return None
    for name in spoken:
        far = DIALECTS.get(name)
        if far is not None and far.codec is not None:
            return Bridge(client, far, client.codec, far.codec)
    return None
