"""Answer requests by their path: what was asked is read, a reply is chosen, and written in the dialect asked."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.clients.provider import chat, messages, responses
from tests.clients.provider.asked import read_chat, read_messages, read_responses
from tests.clients.provider.replies import RETRY_AFTER_S, Refuse, reply_to
from tests.faults import error_json, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.clients.provider.asked import Asked
    from tests.clients.provider.replies import Call, Say
    from tests.faults import Request, Script

MODEL = {"id": "main", "object": "model", "created": 1, "owned_by": "tests"}


class Dialect(NamedTuple):
    """Where a dialect is spoken, and how it is read and written."""

    path: str
    read: Callable[[Mapping[str, Any]], Asked]
    write: Callable[[Say | Call, Asked], Script]
    error: Callable[[int], dict[str, Any]]


DIALECTS = {
    "chat": Dialect("/v1/chat/completions", read_chat, chat.write, chat.error),
    "messages": Dialect("/v1/messages", read_messages, messages.write, messages.error),
    "responses": Dialect("/v1/responses", read_responses, responses.write, chat.error),
}


def speaking(*dialects: str) -> Callable[[Request], Script]:
    """Return the answers of a provider that serves the paths of these dialects, and embeddings beside chat."""

    def answer(request: Request) -> Script:
        path = request.target.partition("?")[0]
        for dialect in map(DIALECTS.__getitem__, dialects):
            if path == dialect.path:
                return _talk(dialect, request)
        if path == "/v1/embeddings" and "chat" in dialects:
            return _embed(request.json)
        if path == "/v1/models":
            return json_answer({"object": "list", "data": [MODEL]})
        if path == "/v1/models/main":
            return json_answer(MODEL)
        return error_json(404, {"error": {"message": "not here", "type": "invalid_request_error"}})

    return answer


def answer(request: Request) -> Script:
    """Answer in whatever dialect is asked."""
    return speaking(*DIALECTS)(request)


def targets_of(dialect: str) -> set[str]:
    """Return what a provider of one dialect may be asked for."""
    path = DIALECTS[dialect].path
    return {path, f"{path}?beta=true"} | ({"/v1/embeddings"} if dialect == "chat" else set())


def _talk(dialect: Dialect, request: Request) -> Script:
    asked = dialect.read(request.json)
    reply = reply_to(asked)
    if not isinstance(reply, Refuse):
        return dialect.write(reply, asked)
    headers = {"retry-after": str(RETRY_AFTER_S)} if reply.status == 429 else {}
    return error_json(reply.status, dialect.error(reply.status), headers)


def _embed(asked: Mapping[str, Any]) -> Script:
    """A vector for each text: its number and its length."""
    given = asked["input"]
    vectors = [
        (float(number), float(len(one))) for number, one in enumerate([given] if isinstance(given, str) else given)
    ]
    if asked.get("encoding_format") == "base64":
        written: list[Any] = [base64.b64encode(struct.pack("<2f", *one)).decode() for one in vectors]
    else:
        written = [list(one) for one in vectors]
    data = [{"object": "embedding", "index": number, "embedding": one} for number, one in enumerate(written)]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return json_answer({"object": "list", "model": "scripted", "data": data, "usage": usage})
