"""Turn a written rule into a `Rule`: compile its patterns, and convert its names to types."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING

from gateway.config import scalars
from gateway.core.rules import Rule, Span
from gateway.types import Capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import shape

_CAPABILITIES = {
    "images": Capability.VISION,
    "audio": Capability.AUDIO,
    "tools": Capability.TOOLS,
    "json_schema": Capability.JSON_SCHEMA,
}


def make_rule(written: shape.Rule, complain: Callable[[tuple[str, ...], str], None]) -> Rule:
    """Return the rule; `complain(path, message)` about mistakes, with paths below `when`."""
    when = written.when
    headers = []
    for name, pattern in when.header.items():
        try:
            headers.append((scalars.field_name(name), _glob(pattern)))
        except ValueError as error:
            complain(("header", name), str(error))
    said = {capability: getattr(when, name) for name, capability in _CAPABILITIES.items()}
    return Rule(
        use=written.use,
        wants=frozenset(one for one, wanted in said.items() if wanted),
        spares=frozenset(one for one, wanted in said.items() if wanted is False),
        stream=when.stream,
        endpoint=frozenset(when.endpoint or ()),
        task=tuple(map(_glob, when.task or ())),
        user=_glob(when.user) if when.user else None,
        headers=tuple(headers),
        model=_glob(when.model) if when.model else None,
        prompt_tokens=_span(when.prompt_tokens),
        language=frozenset(when.language or ()),
        complexity=_span(when.complexity),
    )


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _span(written: shape.TokenSpan | shape.ScoreSpan | None) -> Span | None:
    return None if written is None else Span(written.min or 0, written.max)
