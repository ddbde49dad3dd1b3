"""Read what a request asks of a model, in any of three dialects."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, whatever its dialect."""

    texts: tuple[str, ...]
    """What the user said, part by part."""
    results: tuple[str, ...] = ()
    """What the user's tools returned."""
    pictures: tuple[str, ...] = ()
    """What the user showed, as `image/png, 70 bytes`."""
    tools: tuple[tuple[str, frozenset[str]], ...] = ()
    """The tools by name, with the names of their parameters."""
    has_schema: bool = False
    """The answer shall be JSON."""
    stream: bool = False
    stream_usage: bool = True

    def says(self, words: str) -> bool:
        """Tell whether these words are in something that the user said."""
        return any(words in text for text in self.texts)

    def tool_with(self, *parameters: str) -> str | None:
        """Return the name of the first tool that has these parameters."""
        return next((name for name, known in self.tools if known >= set(parameters)), None)


def read_chat(body: Mapping[str, Any]) -> Asked:
    """Read a body of `/chat/completions`."""
    messages = body["messages"]
    said = [part for one in messages if one["role"] == "user" for part in _parts(one["content"])]
    functions = [tool["function"] for tool in body.get("tools") or ()]
    return Asked(
        texts=tuple(_texts(said)),
        results=tuple("".join(_texts(_parts(one["content"]))) for one in messages if one["role"] == "tool"),
        pictures=tuple(_from_url(part["image_url"]["url"]) for part in said if part["type"] == "image_url"),
        tools=tuple((one["name"], _parameters(one.get("parameters"))) for one in functions),
        has_schema=(body.get("response_format") or {}).get("type") in {"json_schema", "json_object"},
        stream=bool(body.get("stream")),
        stream_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def read_messages(body: Mapping[str, Any]) -> Asked:
    """Read a body of `/messages`."""
    said = [part for one in body["messages"] if one["role"] == "user" for part in _parts(one["content"])]
    results = [part for part in said if part["type"] == "tool_result"]
    sources = [part["source"] for part in said if part["type"] == "image"]
    return Asked(
        texts=tuple(_texts(said)),
        results=tuple("".join(_texts(_parts(one["content"]))) for one in results),
        pictures=tuple(_picture(one["media_type"], one["data"]) for one in sources),
        tools=tuple((one["name"], _parameters(one.get("input_schema"))) for one in body.get("tools") or ()),
        has_schema=bool((body.get("output_config") or {}).get("format") or body.get("output_format")),
        stream=bool(body.get("stream")),
    )


def read_responses(body: Mapping[str, Any]) -> Asked:
    """Read a body of `/responses`."""
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    said = [part for one in items if one.get("role") == "user" for part in _parts(one["content"])]
    outputs = [one["output"] for one in items if one.get("type") == "function_call_output"]
    functions = [one for one in body.get("tools") or () if one["type"] == "function"]
    return Asked(
        texts=tuple(_texts(said)),
        results=tuple("".join(_texts(_parts(one))) for one in outputs),
        pictures=tuple(_from_url(part["image_url"]) for part in said if part["type"] == "input_image"),
        tools=tuple((one["name"], _parameters(one.get("parameters"))) for one in functions),
        has_schema=((body.get("text") or {}).get("format") or {}).get("type") in {"json_schema", "json_object"},
        stream=bool(body.get("stream")),
    )


def _parts(content: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _texts(parts: list[dict[str, Any]]) -> Iterator[str]:
    return (part["text"] for part in parts if part["type"] in {"text", "input_text", "output_text"})


def _parameters(schema: Mapping[str, Any] | None) -> frozenset[str]:
    return frozenset((schema or {}).get("properties") or ())


def _from_url(url: str) -> str:
    media_type, _, encoded = url.removeprefix("data:").partition(";base64,")
    return _picture(media_type, encoded)


def _picture(media_type: str, encoded: str) -> str:
    return f"{media_type}, {len(base64.b64decode(encoded, validate=True))} bytes"
