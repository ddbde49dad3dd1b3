"""Write a request of the Responses API from the pivot.

A call of another dialect is stored nowhere, as its client expects: `store` is false, and what the model thinks comes
sealed instead, for the client to bring back. Only models that think can seal, and others refuse to be asked for it: so
it is asked of those only that are to think, or have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.deltas import (
    Format,
    OpaquePart,
    RefusalPart,
    TextPart,
    ThinkingPart,
    Tool,
    ToolChoice,
    ToolResultPart,
    ToolUsePart,
    Turn,
    Written,
)
from gateway.dialects.responses.asking import CALLS, NAME
from gateway.dialects.responses.parts import is_part, part_of
from gateway.dialects.responses.thoughts import item_again, item_of
from gateway.dialects.responses.tools import tools_written, unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.dialects.deltas import Ask, Part

_SEALED = "reasoning.encrypted_content"
_MODES = {"auto": "auto", "none": "none", "any": "required"}
# Words of OpenAI's that its chats and its responses share.
_SHARED = frozenset({"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier"})
_FREE = "custom_tool_call"


def write(ask: Ask, model: str) -> Written:
    """Return the request that asks for the same."""
    return _Writer(ask).written(model)


class _Writer:
    """Writes one request, and remembers what it could not say."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._is_ours = ask.dialect == NAME
        self._lost: dict[str, None] = {}
        self._free: set[str] = set()
        """Calls of tools that take free text, by id: their results are items of another type."""
        self._seals = ask.effort not in (None, "none")

    def written(self, model: str) -> Written:
        ask = self._ask
        turns = list(ask.turns)
        body: dict[str, Any] = {"model": model}
        if turns and turns[0].marks.get("instructions") and isinstance(first := turns[0].parts[0], TextPart):
            body["instructions"] = first.text
            del turns[0]
        body["input"] = [item for turn in turns for item in self._items(turn)]
        said = {
            "tools": self._tools() or None,
            "tool_choice": _choice_of(ask.tool_choice, ask.tools),
            "parallel_tool_calls": ask.parallel_tools,
            "max_output_tokens": ask.most_tokens,
            "temperature": ask.temperature,
            "top_p": ask.top_p,
            "text": {"format": self._format(ask.format)} if ask.format is not None else None,
            "reasoning": {"effort": ask.effort} if ask.effort is not None else None,
            "user": ask.user if ask.user != ask.marks.get("safety_identifier") else None,
            "stream": ask.stream or None,
        }
        body |= {name: value for name, value in said.items() if value is not None}
        if self._is_ours:
            _put_back(body, ask.rest)
            _put_back(body, ask.marks)
        else:
            if ask.stop:
                self._lose("stop")
            if ask.answers != 1:
                self._lose("n")
            body |= self._shared(ask.rest)
            body["store"] = False
            if self._seals:
                body["include"] = [_SEALED]
        return Written(msgspec.json.encode(body), tuple(self._lost))

    def _items(self, turn: Turn) -> Iterator[Any]:
        if turn.role == "tool":
            for part in turn.parts:
                if isinstance(part, ToolResultPart):
                    yield self._result(part)
        elif turn.role == "assistant":
            yield from self._answer(turn)
        else:
            content = [value for part in turn.parts if (value := self._part(part, answers=False)) is not None]
            if content or not turn.parts:
                yield {
                    "type": "message",
                    "role": turn.role,
                    "content": content,
                    **self._left(turn.rest),
                    **self._marks(turn.marks),
                }

    def _answer(self, turn: Turn) -> Iterator[Any]:
        """Yield the items of a model's turn, in its order: thoughts, messages, calls."""
        self._left(turn.rest)
        sealed = [item_of(part) for part in turn.parts if isinstance(part, ThinkingPart)]
        message: dict[str, Any] | None = None
        for part in turn.parts:
            if isinstance(part, (ThinkingPart, ToolUsePart)) or (
                isinstance(part, OpaquePart) and not is_part(part.value)
            ):
                message = None
                if (item := self._item(part, has_sealed=any(sealed))) is not None:
                    yield item
                continue
            if (value := self._part(part, answers=True)) is None:
                continue
            head = part.marks.get("item") if isinstance(part, (TextPart, RefusalPart)) else None
            if message is None or head is not None:
                message = {"type": "message", "role": "assistant", "content": [], **(head or {})}
                yield message
            if not (isinstance(part, TextPart) and part.marks.get("is_empty")):
                message["content"].append(value)

    def _item(self, part: Part, *, has_sealed: bool) -> Any:
        """Return the item that a part is by itself. `has_sealed`: a thought of the turn is sealed for this dialect."""
        match part:
            case ThinkingPart() if self._is_ours:
                return item_again(part)
            case ThinkingPart():
                if (item := item_of(part)) is not None:
                    self._seals = True
                    return item
                # The text of a thought that follows sealed is its summary, which no model reads.
                return None if has_sealed and not (part.sealed or part.signature) else self._lose("thinking")
            case ToolUsePart():
                return self._call(part)
            case OpaquePart():
                return self._opaque(part)
        return None

    def _call(self, part: ToolUsePart) -> dict[str, Any]:
        if self._is_ours:
            kind = part.marks.get("type", "function_call")
            written = part.arguments if kind != _FREE else unwrapped(part.arguments)
            return {"type": kind, "name": part.name, **part.marks, "call_id": part.id, CALLS[kind]: written}
        kind = _FREE if part.is_free else "function_call"
        if part.is_free:
            self._free.add(part.id)
        said = {"type": kind, "call_id": part.id, "name": part.name, CALLS[kind]: part.arguments}
        return {**said, **self._left(part.rest)}

    def _result(self, part: ToolResultPart) -> dict[str, Any]:
        if part.is_error:
            self._lose("is_error")  # the result itself says it
        values = [value for one in part.parts if (value := self._part(one, answers=False)) is not None]
        output: Any = values
        if not values:
            output = ""
        elif len(values) == 1 and values[0].keys() == {"type", "text"}:
            output = values[0]["text"]
        kind = f"{_FREE}_output" if part.id in self._free else "function_call_output"
        return {"type": kind, "call_id": part.id, "output": output, **self._left(part.rest), **self._marks(part.marks)}

    def _part(self, part: Part, *, answers: bool) -> Any:
        if isinstance(part, OpaquePart):
            return self._opaque(part)
        if (value := part_of(part, answers=answers)) is None:
            return self._lose(type(part).__name__)
        return {**value, **self._left(getattr(part, "rest", {}))}

    def _tools(self) -> list[Any]:
        said: list[Any] = []
        group: list[Tool] = []
        for tool in self._ask.tools:
            if isinstance(tool, Tool):
                group.append(tool if self._is_ours else self._foreign(tool))
                continue
            said += tools_written(group)
            group.clear()
            if (value := self._opaque_tool(tool)) is not None:
                said.append(value)
        return said + tools_written(group)

    def _foreign(self, tool: Tool) -> Tool:
        # Here a schema is strict unless it says otherwise, and what is optional would have to be given.
        return Tool(tool.name, tool.description, tool.schema, bool(tool.strict), self._left(tool.rest))

    def _opaque_tool(self, tool: OpaquePart) -> Any:
        match tool.value:
            case {"type": "custom", "custom": {"name": str(), **custom}}:  # as OpenAI's chats say it
                match custom.get("format"):
                    case {"type": "grammar", "grammar": dict(grammar)}:
                        custom["format"] = {"type": "grammar", **grammar}
                return {"type": "custom", "name": tool.value["custom"]["name"], **custom}
        return self._opaque(tool)

    def _format(self, form: Format | None) -> dict[str, Any] | None:
        if form is None:
            return None
        if form.schema is None:
            return {"type": "json_object"}
        strict = {} if form.strict is None else {"strict": form.strict}
        # A name is required here, and elsewhere there is none.
        said = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema}
        return {**said, **strict, **self._left(form.rest)}

    def _shared(self, rest: Mapping[str, Any]) -> dict[str, Any]:
        shared = _SHARED if self._ask.dialect == "chat" else frozenset()
        self._left({name: value for name, value in rest.items() if name not in shared})
        return {name: value for name, value in rest.items() if name in shared}

    def _opaque(self, part: OpaquePart) -> Any:
        if self._is_ours:
            return part.value
        kind = part.value.get("type") if isinstance(part.value, dict) else None
        return self._lose(kind if isinstance(kind, str) else "a part")

    def _left(self, rest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what of the rest is said here too: all or nothing."""
        if self._is_ours:
            return rest
        for name in rest:
            self._lose(name)
        return {}

    def _marks(self, marks: Mapping[str, Any]) -> Mapping[str, Any]:
        return marks if self._is_ours else {}

    def _lose(self, name: str) -> None:
        self._lost[name] = None


def _choice_of(choice: ToolChoice | None, tools: Iterable[Tool | OpaquePart]) -> Any:
    if choice is None or choice.mode != "one":
        return None if choice is None else _MODES[choice.mode]
    is_free = any(isinstance(one, Tool) and one.name == choice.name and "custom" in one.marks for one in tools)
    return {"type": "custom" if is_free else "function", "name": choice.name}


def _put_back(body: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """Put fields where they stood. A name with a point stands in an object of that name."""
    for name, value in fields.items():
        outer, point, inner = name.partition(".")
        if point and outer in ("text", "reasoning"):
            body[outer] = {**body.get(outer, {}), inner: value}
        else:
            body[name] = value
