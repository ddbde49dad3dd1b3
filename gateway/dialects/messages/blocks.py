"""Read the blocks of a message into parts, and write parts as blocks.

What a block says beside the pivot's words (`cache_control`, `citations`) rides in `rest`, and a block of another kind
is an `OpaquePart`.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.answers import UNREADABLE
from gateway.dialects.deltas import (
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolResultPart,
    ToolUsePart,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_TEXT = "text/plain"
_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]+)*;base64,", re.IGNORECASE)
# Anthropic refuses other letters; Kimi's calls are called `functions.look_up:0`.
_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")


def parts_of(content: Any) -> tuple[Part, ...] | None:
    """Return the parts of a message, a system prompt or a tool's result; None if its content is none."""
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list):
        return None
    return tuple([_part(block, _READ) for block in content])


def _part(block: Any, readers: Mapping[str, Callable[[dict[str, Any]], Part | None]]) -> Part:
    if not isinstance(block, dict):
        return OpaquePart(block)
    read = readers.get(kind) if isinstance(kind := block.get("type"), str) else None
    part = read(block) if read is not None else None
    return OpaquePart(block) if part is None else part


def _text(block: dict[str, Any]) -> Part | None:
    text = block.get("text")
    return TextPart(text, _without(block, "type", "text")) if isinstance(text, str) else None


def _image(block: dict[str, Any]) -> Part | None:
    url = _url(block.get("source"))
    return ImagePart(url, rest=_without(block, "type", "source")) if url else None


def _document(block: dict[str, Any]) -> Part | None:
    rest = _without(block, "type", "source", "title")
    title = block.get("title")
    if not isinstance(title, str):
        title = ""
    match block.get("source"):
        case {"type": "file", "file_id": str() as name}:
            return FilePart(file_id=name, name=title, rest=rest)
        case {"type": "text", "data": str() as text}:
            return FilePart(f"data:{_TEXT};base64,{b64encode(text.encode()).decode()}", name=title, rest=rest)
        case source if url := _url(source):
            return FilePart(url, name=title, rest=rest)
    return None


def _url(source: Any) -> str:
    """Return the address of a source, or all of it as one; empty for a source of another kind."""
    match source:
        case {"type": "base64", "media_type": str() as kind, "data": str() as data}:
            return f"data:{kind};base64,{data}"
        case {"type": "url", "url": str() as url}:
            return url
    return ""


def _thinking(block: dict[str, Any]) -> Part | None:
    match block:
        case {"thinking": str() as text, "signature": str() as signature} if len(block) == 3:
            return ThinkingPart(text, signature)
    return None


def _redacted(block: dict[str, Any]) -> Part | None:
    sealed = block.get("data")
    return ThinkingPart("", sealed=sealed) if isinstance(sealed, str) and len(block) == 2 else None


def _tool_use(block: dict[str, Any]) -> Part | None:
    match block:
        case {"id": str() as identity, "name": str() as name, "input": dict() as arguments}:
            written = msgspec.json.encode(arguments).decode()
            return ToolUsePart(identity, name, written, rest=_without(block, "type", "id", "name", "input"))
    return None


def _tool_result(block: dict[str, Any]) -> Part | None:
    identity = block.get("tool_use_id")
    content = block.get("content")
    parts: tuple[Part, ...] = ()
    if isinstance(content, str):
        parts = (TextPart(content),)
    elif isinstance(content, list):
        parts = tuple([_part(one, _READ_WITHIN) for one in content])
    if not isinstance(identity, str) or not (parts or content in (None, [])):
        return None
    rest = _without(block, "type", "tool_use_id", "content", "is_error")
    return ToolResultPart(identity, parts, block.get("is_error") is True, rest)


# What a tool may give back. A result within a result is none, or a deep request would exhaust the stack.
_READ_WITHIN: dict[str, Callable[[dict[str, Any]], Part | None]] = {
    "text": _text,
    "image": _image,
    "document": _document,
}
_READ: dict[str, Callable[[dict[str, Any]], Part | None]] = _READ_WITHIN | {
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}


class BlockWriter:
    """Writes the blocks of one request, and names what it could not say."""

    def __init__(self, *, is_own: bool) -> None:
        """`is_own`: the request was asked in this dialect, so its rest and its opaque parts are words of it."""
        self._is_own = is_own
        self.lost: dict[str, None] = {}

    def blocks(self, parts: Iterable[Part]) -> list[Any]:
        """Return the blocks that say these parts."""
        return [block for part in parts if (block := self._block(part)) is not None]

    def left(self, rest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what of the rest is said here too: chats have `cache_control` from here. All else is lost."""
        if self._is_own or not rest:
            return rest
        for name in rest:
            if name != "cache_control":
                self.lose(name)
        return {"cache_control": rest["cache_control"]} if "cache_control" in rest else {}

    def opaque(self, part: OpaquePart) -> Any:
        """Return a part, or a tool, that is a word of this dialect; None for one of another."""
        if self._is_own:
            return part.value
        kind = part.value.get("type") if isinstance(part.value, dict) else None
        self.lose(kind if isinstance(kind, str) else "a part")
        return None

    def lose(self, name: str) -> None:
        """Take note of something that cannot be said."""
        self.lost[name] = None

    def _block(self, part: Part) -> Any:
        match part:
            case TextPart():
                # Anthropic refuses a text without a letter.
                return {"type": "text", "text": part.text, **self.left(part.rest)} if part.text.strip() else None
            case RefusalPart():
                return {"type": "text", "text": part.text} if part.text.strip() else None
            case ImagePart():
                return {"type": "image", "source": source_of(part.url), **self.left(part.rest)}
            case FilePart():
                return self._document(part)
            case ThinkingPart():
                return self._thinking(part)
            case ToolUsePart():
                return {
                    "type": "tool_use", "id": id_of(part.id), "name": part.name,
                    "input": input_of(part.arguments, is_free=part.is_free), **self.left(part.rest),
                }  # fmt: skip
            case ToolResultPart():
                return self._result(part)
            case OpaquePart():
                return self.opaque(part)
        self.lose(type(part).__name__)
        return None

    def _document(self, part: FilePart) -> dict[str, Any]:
        source = {"type": "file", "file_id": part.file_id} if part.file_id else source_of(part.url)
        if source.get("media_type") == _TEXT and (text := _decoded(source["data"])) is not None:
            source = {"type": "text", "media_type": _TEXT, "data": text}
        title = {"title": part.name} if part.name else {}
        return {"type": "document", "source": source, **title, **self.left(part.rest)}

    def _thinking(self, part: ThinkingPart) -> dict[str, Any] | None:
        if part.sealed:
            return {"type": "redacted_thinking", "data": part.sealed}
        if part.signature or self._is_own:
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        self.lose("thinking")  # without a signature it is refused
        return None

    def _result(self, part: ToolResultPart) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": id_of(part.id)}
        if content := self.blocks(part.parts):
            block["content"] = text_of(content)
        if part.is_error:
            block["is_error"] = True
        return {**block, **self.left(part.rest)}


def source_of(url: str) -> dict[str, Any]:
    """Return the source of a picture or a document."""
    found = _DATA_URL.match(url)
    if found is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": found[1] or _TEXT, "data": url[found.end() :]}


def input_of(arguments: str, *, is_free: bool = False) -> dict[str, Any]:
    """Return the arguments of a call as the object that they have to be here.

    Free text, and what a small model wrote in place of JSON, stands under `input`.
    """
    if not arguments.strip():
        return {}
    if not is_free:
        try:
            value = msgspec.json.decode(arguments)
        except UNREADABLE:
            value = None
        if isinstance(value, dict):
            return value
    return {"input": arguments}


def id_of(identity: str) -> str:
    """Return the id of a call in letters that are allowed here, the same for the call and for its result."""
    return _NO_ID.sub("_", identity) or "toolu_0"


def text_of(blocks: list[Any]) -> str | list[dict[str, Any]]:
    """Return the text that blocks are; the blocks themselves if they are more than that."""
    match blocks:
        case [{"type": "text", "text": str(text), **rest}] if not rest:
            return text
    return blocks


def _decoded(data: str) -> str | None:
    try:
        return b64decode(data, validate=True).decode()
    except (NotBase64, ValueError):
        return None


def _without(block: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name not in names}
