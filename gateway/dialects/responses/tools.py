"""Name the tools of a request so that any dialect can call them, and find the client's names again.

Responses have two kinds of tools that other dialects lack, and both become functions there. A tool of a namespace is
called `namespace__name`. A tool that takes free text is a function with one argument, the text. Clients register their
tools by namespace and name (Codex, `multi_agent_v1`), so an answer must say both, and free text as it is.

Source: a request of Codex 0.169, recorded in November 2026; openai-python 3.52, `NamespaceTool`, `CustomTool`;
vllm-project/vllm#46737 and ollama/ollama#18284 for what clients make of a joined name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.dialects.deltas import OpaquePart, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What OpenAI and Anthropic take for the name of a function.
LONGEST_NAME = 64
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_OF_FUNCTIONS = frozenset({"type", "name", "description", "parameters", "strict"})
_OF_FREE = frozenset({"type", "name", "description", "format"})
_TEXT = "input"


class Known(NamedTuple):
    """A tool as its client knows it."""

    name: str
    namespace: str = ""
    is_free: bool = False
    """It takes free text."""


class Toolbox:
    """The tools of one request."""

    def __init__(self, tools: Any) -> None:
        """`tools`: the request's field; no list, no tools."""
        values = tools if isinstance(tools, list) else []
        self._known: dict[str, Known] = {}
        self._joined: dict[tuple[str, str], str] = {}
        # The names of the first level are taken as they are, so namespaces must make way for them.
        for value in values:
            if (kind := _kind(value)) is not None:
                self._known[value["name"]] = Known(value["name"], is_free=kind == "custom")
        self.tools = tuple(tool for value in values for tool in self._read(value))

    def joined(self, name: str, namespace: object = None) -> str:
        """Return the name of a tool in other dialects; of one that the request no longer has, too."""
        if not isinstance(namespace, str) or not namespace:
            return name
        return self._joined.get((namespace, name)) or _join(namespace, name)

    def known(self, joined: str) -> Known:
        """Return the tool that a model calls by this name."""
        if (found := self._known.get(joined)) is not None:
            return found
        # Small models leave the namespace out.
        meant = [one for one in self._known.values() if one.namespace and one.name == joined]
        return meant[0] if len(meant) == 1 else Known(joined)

    def _read(self, value: Any) -> Iterator[Tool | OpaquePart]:
        kind = _kind(value)
        if kind is not None:
            yield _tool(value, kind, value["name"], {})
            return
        members = _members(value)
        if members is None:
            yield OpaquePart(value)
            return
        namespace = {name: one for name, one in value.items() if name not in ("type", "tools")}
        for member, of in members:
            name = self._take(namespace["name"], member["name"], of)
            yield _tool(member, of, name, {"namespace": namespace, "name": member["name"]})

    def _take(self, namespace: str, name: str, kind: str) -> str:
        wanted = joined = _join(namespace, name)
        count = 1
        while joined in self._known:
            count += 1
            tail = f"_{count}"
            joined = wanted[: LONGEST_NAME - len(tail)] + tail
        self._known[joined] = Known(name, namespace, is_free=kind == "custom")
        self._joined[namespace, name] = joined
        return joined


def wrapped(text: str) -> str:
    """Return free text as the arguments of a function."""
    return msgspec.json.encode({_TEXT: text}).decode()


def unwrapped(arguments: str) -> str:
    """Return the free text in the arguments of a function. Arguments of another shape are the text themselves."""
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    text = value.get(_TEXT) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def tools_written(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Return the tools of a request of this dialect as they stood in it."""
    said: list[dict[str, Any]] = []
    last: Any = None
    for tool in tools:
        marks = tool.marks
        namespace = marks.get("namespace")
        value = _written(tool, marks.get("name", tool.name))
        if namespace is not None and namespace is last:
            said[-1]["tools"].append(value)
        else:
            said.append(value if namespace is None else {"type": "namespace", **namespace, "tools": [value]})
        last = namespace
    return said


def _written(tool: Tool, name: str) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "custom" if "custom" in tool.marks else "function", "name": name}
    if tool.description is not None:
        value["description"] = tool.description
    if "custom" in tool.marks:
        return {**value, **tool.marks["custom"], **tool.rest}
    value["parameters"] = tool.schema
    if tool.strict is not None:
        value["strict"] = tool.strict
    return {**value, **tool.rest}


def _kind(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if kind in ("function", "custom") and isinstance(value.get("name"), str) else None


def _members(value: Any) -> list[tuple[dict[str, Any], str]] | None:
    """Return the tools of a namespace with their kinds; None if it is none, or has tools of other kinds."""
    match value:
        case {"type": "namespace", "name": str(), "tools": [_, *_] as tools}:
            kinds = [_kind(one) for one in tools]
            found = [(one, kind) for one, kind in zip(tools, kinds, strict=True) if kind is not None]
            return found if len(found) == len(tools) else None
    return None


def _tool(value: dict[str, Any], kind: str, name: str, marks: dict[str, Any]) -> Tool:
    said = value.get("description")
    description = said if isinstance(said, str) else None
    if kind == "function":
        strict = value.get("strict")
        rest = {key: one for key, one in value.items() if key not in _OF_FUNCTIONS}
        strictly = strict if isinstance(strict, bool) else None
        return Tool(name, description, value.get("parameters"), strictly, rest, marks)
    rest = {key: one for key, one in value.items() if key not in _OF_FREE}
    form = value.get("format")
    marks = marks | {"custom": {}}
    what = "The text, as it is."
    if isinstance(form, dict) and isinstance(grammar := form.get("definition"), str):
        rest["format"] = form  # the model is told of the grammar, and nothing holds it to that
        what = f"The text, as it is, by this {form.get('syntax', 'lark')} grammar:\n{grammar}"
    elif form is not None:
        marks["custom"] = {"format": form}
    schema = {
        "type": "object", "properties": {_TEXT: {"type": "string", "description": what}}, "required": [_TEXT],
        "additionalProperties": False,
    }  # fmt: skip
    return Tool(name, description, schema, None, rest, marks)


def _join(namespace: str, name: str) -> str:
    return _NOT_IN_NAMES.sub("_", f"{namespace}__{name}")[:LONGEST_NAME]
