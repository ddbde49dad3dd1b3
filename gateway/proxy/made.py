"""Note the response that an attempt brings, so that its client can ask for it and go on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.dialects.phases import WHOLE
from gateway.dialects.responses.kept import id_of
from gateway.proxy.origins import Origin, owner_of
from gateway.proxy.passed import provider_id_of, what_passed

if TYPE_CHECKING:
    from gateway.proxy.admission import Admission
    from gateway.proxy.flight import Flight


def note_made(flight: Flight, admission: Admission) -> None:
    """Note the response of an attempt, as far as it has said its id. May be called more than once."""
    gateway, answer, upstream = admission.gateway, flight.answer, flight.candidate.upstream
    name, owner = upstream.provider.name, owner_of(admission.key)
    if not flight.candidate.bridge:
        if said := provider_id_of(answer):
            gateway.origins.note(said, Origin(name, upstream.model, owner))
    elif answer.judge.phase is WHOLE:
        attempt = flight.entry.identity
        gateway.origins.note(id_of(attempt), Origin(name, upstream.model, owner, attempt))
        if gateway.books.keeps_content:
            gateway.origins.note_content(attempt, admission.call.body, what_passed(answer))
