"""OpenAI's legacy completions: a prompt, and the text that goes on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.dialects import choices, openai
from gateway.dialects.dialect import Dialect, Words
from gateway.dialects.events import Grammar
from gateway.types import Endpoint

if TYPE_CHECKING:
    from gateway.types import Call

COMPLETIONS = Endpoint(
    "completions", "/completions", "completions", takes_ids="prompt", usage_on_request=True, generates=True
)
# Fill in the middle: a prompt and a `suffix`. Mistral's openapi.yaml, read in November 2026. No `stream_options` there.
FIM = Endpoint("fim", "/fim/completions", "completions", generates=True)


def asked_for(call: Call) -> int:
    """Return how many choices a call asks for: `n` for each of its prompts."""
    prompts = call.fields.get("prompt")
    return choices.asked_for(call) * (_prompts_in(prompts) if isinstance(prompts, msgspec.Raw) else 1)


def _prompts_in(raw: msgspec.Raw) -> int:
    """Return how many prompts a completion has: a list of texts, or of lists of tokens, is one each."""
    if memoryview(raw)[:1].tobytes() != b"[":
        return 1
    try:
        value = msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return 1
    return len(value) if value and isinstance(value[0], (str, list)) else 1


DIALECT = Dialect(
    name="completions",
    endpoints=(COMPLETIONS, FIM),
    words=Words(
        spoken=("prompt",),
        limits=("max_tokens",),
        schema="response_format",
        answers=("n", "best_of"),
        usage=openai.USAGE,
    ),
    grammar=Grammar(note=choices.note_event, plain=choices.plain_event, choices=asked_for),
    answer=choices.read_answer,
    refusal=openai.error_body,
    broken=openai.error_event,
    too_long=openai.with_code,
    headers=openai.HEADERS,
)
