"""Measure what went to the client of an answer: how much, its digest, and the tokens it will have taken."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.dialects.units import heard_ms
from gateway.kinds import kind_of
from gateway.proxy.tap import written_tokens
from gateway.types import Usage

if TYPE_CHECKING:
    from gateway.proxy.admission import Admission
    from gateway.proxy.answer import Answer
    from gateway.proxy.tap import Tap
    from gateway.types import Price


def _tap_of(answer: Answer) -> Tap | None:
    return answer.outlet.tap if answer.outlet is not None else None


def digest_of(answer: Answer) -> bytes:
    """Return the SHA-256 of the body that went to the client; empty if none did."""
    if (tap := _tap_of(answer)) is not None:
        return tap.sha256
    return sha256(answer.body()).digest() if answer.committed_at else b""


def passed_bytes(answer: Answer) -> int:
    """Return how much of a stream has gone to the client."""
    return tap.passed_bytes if (tap := _tap_of(answer)) is not None else 0


def what_passed(answer: Answer) -> bytes:
    """Return the body that went to the client, as far as it was kept."""
    return answer.body() if (tap := _tap_of(answer)) is None else tap.kept


def provider_id_of(answer: Answer) -> str:
    """Return what the provider calls the answer; empty if the provider has not said."""
    reader = answer.judge.reader
    said = reader.answer_id if reader is not None else answer.judge.answer_id
    name = kind_of(answer.candidate.upstream.provider).id_header
    if said or not name:
        return said
    header = answer.fields.get(name)  # the name by which a bill can be asked for
    return header.decode("latin-1") if header else ""


def used_so_far(answer: Answer, admission: Admission, *, roughly: bool = False) -> Usage:
    """Return what a call will have used by now. `roughly`: cheap enough to ask every other second."""
    said, call, needs = answer.judge.usage, admission.call, admission.terms.needs
    return Usage(
        input_tokens=said.input_tokens if said is not None and said.input_tokens else needs.input_tokens,
        output_tokens=_written(answer, roughly=roughly) if call.endpoint.generates else 0,
    )


def _written(answer: Answer, *, roughly: bool) -> int:
    if (tap := _tap_of(answer)) is None:
        return written_tokens(answer.body()) if answer.judge.reader is None else 0
    return tap.output_tokens_roughly() if roughly else tap.output_tokens()


def guess_of(answer: Answer | None, admission: Admission, price: Price | None) -> Usage | None:
    """Return what an attempt will have used, by its request and its answer; None if they do not tell."""
    if not admission.call.endpoint.answers_json:
        if answer is None or price is None or not price.audio_hour:
            return None
        tap = _tap_of(answer)
        end = answer.body() if tap is None else tap.end
        heard = heard_ms(end, max(len(end), passed_bytes(answer)))
        return Usage(audio_ms=heard) if heard else None
    needs = admission.terms.needs
    if needs.input_tokens == 0:
        return None  # a form: its tokens are not counted
    return Usage(input_tokens=needs.input_tokens) if answer is None else used_so_far(answer, admission)
