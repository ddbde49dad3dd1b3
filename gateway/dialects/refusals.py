"""Say no in the dialect that is spoken on a path. The one place that knows which that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.dialects import messages, openai

if TYPE_CHECKING:
    from gateway.errors import Refusal


def refusal_body(path: str, refusal: Refusal, *, anthropic: bool = False) -> bytes:
    """Return the body of a refusal, as JSON, for a client that asks for `path` (decoded or not, as it was sent).

    Every path that is nobody else's is OpenAI's. `anthropic`: the client is one of Anthropic's, whatever the path.
    """
    write = messages.error_body if anthropic or messages.PATHS.fullmatch(path) else openai.error_body
    return write(refusal)
