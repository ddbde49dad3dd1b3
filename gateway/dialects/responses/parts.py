"""The parts of a message: what a client says, and what a tool gives back, in pieces of text, pictures, sound, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.dialects.deltas import AudioPart, FilePart, ImagePart, OpaquePart, RefusalPart, TextPart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.dialects.deltas import Part

TEXTS = frozenset({"input_text", "output_text", "text"})
# Beside the text of an answer. A model is not told of them when they come back.
_BESIDE = frozenset({"annotations", "logprobs"})


def part_in(value: Any, marks: Mapping[str, Any]) -> Part:
    """Return what a part of a message says. `marks`: of the message, if this is its first part."""
    if not isinstance(value, dict):
        return OpaquePart(value)
    left = {name: one for name, one in value.items() if name != "type"}
    match value:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            del left["text"]
            beside = {name: left.pop(name) for name in _BESIDE & left.keys()}
            return TextPart(text, left, {**marks, **beside})
        case {"type": "refusal", "refusal": str(text)}:
            return RefusalPart(text, marks)
        case {"type": "input_image", "image_url": str(url)}:
            del left["image_url"]
            detail = left.pop("detail") if isinstance(left.get("detail"), str) else None
            return ImagePart(url, detail, _known(left))
        case {"type": "input_audio", "input_audio": {"data": str(sound), "format": str(form)}}:
            del left["input_audio"]
            return AudioPart(sound, form, left)
        case {"type": "input_file"}:
            urls = [one for name in ("file_data", "file_url") if isinstance(one := left.pop(name, None), str)]
            identity, name = left.pop("file_id", None), left.pop("filename", None)
            if urls or isinstance(identity, str):
                return FilePart("".join(urls[:1]), _text(identity), _text(name), _known(left))
    return OpaquePart(value)


def part_of(part: Part, *, answers: bool) -> dict[str, Any] | None:
    """Return a part as it stands in a message, without what rides in its rest; None: it cannot stand there.

    `answers`: the message is the model's.
    """
    match part:
        case TextPart():
            beside = {name: part.marks[name] for name in sorted(_BESIDE & part.marks.keys())}
            return {"type": "output_text" if answers else "input_text", "text": part.text, **beside}
        case RefusalPart() if answers:
            return {"type": "refusal", "refusal": part.text}
        case RefusalPart():
            return {"type": "input_text", "text": part.text}
        case ImagePart() if not answers:
            detail = {} if part.detail is None else {"detail": part.detail}
            return {"type": "input_image", "image_url": part.url, **detail}
        case AudioPart() if not answers:
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case FilePart() if not answers:
            where = "file_url" if part.url.startswith(("https:", "http:")) else "file_data"
            said = {where: part.url, "file_id": part.file_id, "filename": part.name}
            return {"type": "input_file", **{name: value for name, value in said.items() if value}}
    return None


def is_part(value: Any) -> bool:
    """Tell whether a value of this dialect is a part of a message, and no item of its own."""
    kind = value.get("type") if isinstance(value, dict) else None
    return not isinstance(kind, str) or kind.startswith(("input_", "output_")) or kind in ("text", "refusal")


def _known(left: dict[str, Any]) -> dict[str, Any]:
    """Return the rest of a part without what SDKs write where there is nothing."""
    return {name: value for name, value in left.items() if value is not None}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
