"""Put a text before the system prompt of a conversation, and copy every other byte.

A dialect's `Words.system` says where the prompt stands. A text in a string grows at its front; a list of texts gets
one more in front, so that the client's own blocks keep their `cache_control`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from gateway.dialects.body import fields_in
from gateway.dialects.endpoints import DIALECTS
from gateway.dialects.fields import NotAnObject, end_of_value, fields_of
from gateway.dialects.needs import BYTES_PER_TOKEN

if TYPE_CHECKING:
    from gateway.types import Call, Endpoint, Needs

_SPACE = b" \t\r\n"
_SYSTEM = frozenset({b'"system"', b'"developer"'})
_encode = msgspec.json.encode


class _Splice(NamedTuple):
    """New bytes in place of a span."""

    start: int
    end: int
    new: bytes

    def behind(self, offset: int) -> _Splice:
        return _Splice(self.start + offset, self.end + offset, self.new)


class _Prefix(NamedTuple):
    """A text in the forms in which it is written, as JSON."""

    alone: bytes
    """A string."""
    before: bytes
    """The inside of a string, up to the text that follows."""
    block: bytes
    message: bytes


def with_prefix(call: Call, needs: Needs, text: str) -> tuple[Call, Needs]:
    """Return a conversation with a text before its system prompt, and its needs with the longer prompt.

    Other calls (embeddings, completions) have no system prompt and stay as they are.
    """
    endpoint = call.endpoint
    words = DIALECTS[endpoint.dialect].words
    if not words.system or not _is_conversation(endpoint):
        return call, needs
    prefix = _prefix_of(text)
    within = _before_messages if words.system_within else _before_text
    splices: list[_Splice] = []
    value = b""
    for field in fields_in(call):
        if field.key != words.system:
            continue
        value = call.body[field.start : field.end]
        if (made := within(value, prefix)) is not None:
            splices.append(made.behind(field.start))
            value = value[: made.start] + made.new + value[made.end :]
    if not value and not words.system_within:
        at = call.body.index(b"{") + 1  # a body names a model, so other fields follow
        value = prefix.alone
        splices = [_Splice(at, at, b"%b:%b," % (_encode(words.system), value))]
    if not splices:
        return call, needs
    needs = replace(needs, input_tokens=needs.input_tokens + len(prefix.before) // BYTES_PER_TOKEN)
    fields = {**call.fields, words.system: msgspec.Raw(value)}
    changed = replace(_spliced(call, splices), fields=fields, needs=None if call.needs is None else needs)
    return changed, needs


def _is_conversation(endpoint: Endpoint) -> bool:
    """Whether an endpoint continues a conversation, or counts the tokens of one."""
    codec = DIALECTS[endpoint.dialect].codec
    return codec is not None and (endpoint is codec.endpoint or not endpoint.charged)


def _prefix_of(text: str) -> _Prefix:
    return _Prefix(
        alone=_encode(text),
        before=_encode(f"{text}\n\n")[1:-1],
        block=_encode({"type": "text", "text": text}),
        message=_encode({"role": "system", "content": text}),
    )


def _before_text(value: bytes, prefix: _Prefix) -> _Splice | None:
    """Return the splice into a string or a list of texts. None: it is neither, which the provider will refuse."""
    if value in (b"null", b'""'):
        return _Splice(0, len(value), prefix.alone)
    if value[:1] == b'"':
        return _Splice(1, 1, prefix.before)
    return _first_of(value, prefix.block) if value[:1] == b"[" else None


def _before_messages(value: bytes, prefix: _Prefix) -> _Splice | None:
    """Return the splice into a list of messages: into its first if that is the system's, else before it."""
    if value[:1] != b"[":
        return None
    start = _past_space(value, 1)
    if value[start : start + 1] == b"{":
        try:
            message = value[start : end_of_value(value, start)]
            spans = {one.key: (one.start, one.end) for one in fields_of(message)}
        except NotAnObject:  # not plain JSON, which some providers take
            spans = {}
        role, content = spans.get("role"), spans.get("content")
        if role is not None and content is not None and message[slice(*role)] in _SYSTEM:
            inside = _before_text(message[slice(*content)], prefix)
            if inside is not None:
                return inside.behind(start + content[0])
    return _first_of(value, prefix.message)


def _first_of(array: bytes, item: bytes) -> _Splice:
    at = _past_space(array, 1)
    return _Splice(at, at, item if array[at : at + 1] == b"]" else item + b",")


def _past_space(text: bytes, at: int) -> int:
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at


def _spliced(call: Call, splices: list[_Splice]) -> Call:
    body, pieces, done, moved = call.body, [], 0, 0
    for start, end, new in splices:
        pieces += [body[done:start], new]
        done = end
        if start <= call.model_span[0]:
            moved += len(new) - (end - start)
    start, end = call.model_span
    return replace(call, body=b"".join((*pieces, body[done:])), model_span=(start + moved, end + moved))
