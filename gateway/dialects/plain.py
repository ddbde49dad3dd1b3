"""OpenAI's other operations, which hold no conversation: embeddings, moderations, reranking, pictures and sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects import choices, openai
from gateway.dialects.answers import ANSWER, UNREADABLE, Read, decode, lack_of_content, read_value
from gateway.dialects.dialect import Dialect, Words
from gateway.dialects.events import EVENT_ENDS, Grammar, data_at
from gateway.dialects.usage import usage_of_answer
from gateway.types import BodyKind, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialects.events import StreamReader
    from gateway.types import Call

EMBEDDINGS = Endpoint("embeddings", "/embeddings", "plain", embeds=True, takes_ids="input")
# OpenAI's reference, read in November 2026: `model` is optional and defaults to this one.
MODERATIONS = Endpoint("moderations", "/moderations", "plain", default_model="omni-moderation-latest")
RERANK = Endpoint("rerank", "/rerank", "plain")
IMAGE_GENERATIONS = Endpoint("image_generations", "/images/generations", "plain", generates=True, repeatable=False)
IMAGE_EDITS = Endpoint("image_edits", "/images/edits", "plain", BodyKind.MULTIPART, generates=True, repeatable=False)
SPEECH = Endpoint("speech", "/audio/speech", "plain", answers_json=False, repeatable=False)
TRANSCRIPTIONS = Endpoint("transcriptions", "/audio/transcriptions", "plain", BodyKind.MULTIPART, answers_json=False)
TRANSLATIONS = Endpoint("translations", "/audio/translations", "plain", BodyKind.MULTIPART, answers_json=False)


class _Event(msgspec.Struct, gc=False):
    usage: Any = None
    error: Any = None
    object: Any = None
    type: Any = None
    message: Any = None


_event = msgspec.json.Decoder(_Event).decode
_text = msgspec.json.Decoder(str).decode


def plain_event(_: set[int]) -> Callable[[bytes], bool]:
    """Return what tells of a chunk that it is one event with content, and no more."""
    return _is_plain


def _is_plain(chunk: bytes) -> bool:
    if not chunk.endswith(EVENT_ENDS):
        return False
    try:
        event = _event(chunk[data_at(chunk) :])
    except UNREADABLE:
        return False
    fails = event.error is not None or event.object == "error" or event.type == "error"
    return not fails and event.usage is None and event.message is None


def note_event(reader: StreamReader, value: dict[str, Any], name: bytes) -> bool:
    """Take note of an event: of pictures and sound any that is no error is content."""
    passes = choices.note_event(reader, value, name)
    if reader.error is None and value.get("choices") is None:
        reader.commit()
    return passes


def read_answer(body: bytes, endpoint: Endpoint) -> Read:
    """Return what a plain answer says.

    Raises:
        ValueError: it is not JSON.
    """
    if endpoint.embeds:
        try:
            answer = ANSWER(body)
        except UNREADABLE:
            pass  # other types than expected, or JSON for lenient readers
        else:
            is_fault = answer.error or answer.base_resp or answer.object == "error"
            if answer.data and not is_fault and memoryview(answer.data[0].embedding).nbytes > 4:
                return Read(usage_of_answer(answer))
    return read_value(decode(body), _LACKS.get(endpoint, _lack_of_anything), choices.failure_in)


def _lack_of_anything(value: Any) -> str:
    # Hugging Face's rerankers send the bare list.
    return "" if isinstance(value, list) and value else lack_of_content(value)


def _lack_of_embeddings(value: Any) -> str:
    return "embeddings" if _holds_nothing(value) else _lack_of_anything(value)


def _lack_of_pictures(value: Any) -> str:
    return "pictures" if _holds_nothing(value) else lack_of_content(value)


def _holds_nothing(value: Any) -> bool:
    """Whether there is a list `data`, and neither an embedding nor a picture in it."""
    data = value.get("data") if isinstance(value, dict) else None
    return isinstance(data, list) and not any(
        isinstance(one, dict) and any(one.get(name) for name in ("embedding", "url", "b64_json")) for one in data
    )


# Rerankers above all answer in shapes of their own, so that only an answer without any content is none.
_LACKS = {
    EMBEDDINGS: _lack_of_embeddings,
    IMAGE_GENERATIONS: _lack_of_pictures,
    IMAGE_EDITS: _lack_of_pictures,
}


def characters_of(call: Call) -> int:
    """Return how many characters a call wants read out; 0 if it wants none. Code points, escapes decoded."""
    raw = call.fields.get("input") if call.endpoint is SPEECH else None
    if not isinstance(raw, msgspec.Raw):
        return 0
    try:
        return len(_text(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Half a surrogate pair, or no text at all: the upstream will say, and until then its bytes are as good.
        return len(memoryview(raw).tobytes().decode(errors="replace"))


DIALECT = Dialect(
    name="plain",
    endpoints=(
        EMBEDDINGS, MODERATIONS, RERANK, IMAGE_GENERATIONS, IMAGE_EDITS, SPEECH, TRANSCRIPTIONS, TRANSLATIONS,
    ),
    words=Words(spoken=("input", "prompt"), answers=("n",)),
    grammar=Grammar(note=note_event, plain=plain_event, has_end=False),
    answer=read_answer,
    refusal=openai.error_body,
    broken=openai.error_event,
    too_long=openai.with_code,
    headers=openai.HEADERS,
)  # fmt: skip
