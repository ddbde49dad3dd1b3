"""Judge whether a model has room for a call: for its prompt, and for the answer that the client allows.

The length of a prompt is an estimate (four bytes a token), so only a prompt that is far too long is refused here. The
upstream counts exactly, and its own refusal sends the call to the next candidate. `max_tokens` is a ceiling, not a
need: agents ask for 32,000 tokens on every call and mostly get a few hundred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.types import Ability, Needs

# Prose, code and JSON have 2.5 to 6 bytes a token. Only runs of one character have more than 8, so a prompt with an
# estimate of over twice the context does not fit, whatever the tokenizer.
CLEARLY = 2
# An answer shorter than this is of little use, so a model without room for it is asked last.
LEAST_OUTPUT_TOKENS = 256
# Few answers are longer, so a model with room for this much keeps its place even if the client allows more.
LONG_OUTPUT_TOKENS = 4096


def is_too_long(ability: Ability, needs: Needs) -> bool:
    """Tell whether the prompt clearly does not fit into the context."""
    context = ability.context_tokens
    return context is not None and needs.input_tokens > CLEARLY * context


def is_tight(ability: Ability, needs: Needs) -> bool:
    """Tell whether a model may have too little room for the prompt and an answer, so that others are asked first."""
    wanted = wanted_output(needs)
    context, longest = ability.context_tokens, ability.max_output_tokens
    return (context is not None and needs.input_tokens + wanted > context) or (longest is not None and wanted > longest)


def wanted_output(needs: Needs) -> int:
    """Return the tokens that a model should have room for besides the prompt; otherwise, others are asked first."""
    return min(needs.output_tokens or LEAST_OUTPUT_TOKENS, LONG_OUTPUT_TOKENS)


def most_output(ability: Ability, needs: Needs) -> int | None:
    """Return the largest `max_tokens` that a strict upstream will accept. None: no limit is known.

    If prompt and answer fit by the estimate, only the model's own limit counts. Otherwise, the result leaves a quarter
    of the prompt for the error of the estimate, but is at least `LEAST_OUTPUT_TOKENS`.
    """
    context, longest = ability.context_tokens, ability.max_output_tokens
    if context is None or needs.input_tokens + needs.output_tokens <= context:
        return longest
    room = max(context - needs.input_tokens * 5 // 4, min(LEAST_OUTPUT_TOKENS, context))
    return room if longest is None else min(room, longest)
