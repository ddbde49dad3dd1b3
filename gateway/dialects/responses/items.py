"""The items of an answer as they grow, and the events that tell of each.

An item knows its place and its id, and nothing of its neighbours. Its events come without their number in the stream,
which the encoder gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.dialects.responses.tools import unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.dialects.responses.tools import Known

Event = tuple[str, dict[str, Any]]
"""Its type, and the fields beside that."""


class Message:
    """What the model says, in parts of text and of refusal."""

    def __init__(self, place: int, identity: str) -> None:
        self._where: dict[str, Any] = {"item_id": identity, "output_index": place}
        self._content: list[dict[str, Any]] = []
        self._pieces: list[str] = []
        self._key = ""
        """Where the part that grows has its text: `text` or `refusal`; empty: there is none."""
        self.status = "in_progress"

    @property
    def value(self) -> dict[str, Any]:
        """The item as it is now."""
        identity = self._where["item_id"]
        return {
            "id": identity, "type": "message", "status": self.status, "role": "assistant", "content": self._content,
        }  # fmt: skip

    def begin(self) -> Iterator[Event]:
        """Yield the events that say it begins."""
        yield "response.output_item.added", {"output_index": self._where["output_index"], "item": self.value}

    def say(self, text: str, *, refuses: bool) -> Iterator[Event]:
        """Say some more."""
        key = "refusal" if refuses else "text"
        if key != self._key:
            yield from self._end_part()
            self._key = key
            yield "response.content_part.added", {**self._at(), "part": _part(key, "")}
        self._pieces.append(text)
        if refuses:
            yield "response.refusal.delta", {**self._at(), "delta": text}
        else:
            yield "response.output_text.delta", {**self._at(), "delta": text, "logprobs": []}

    def end(self, status: str) -> Iterator[Event]:
        """Yield the events that say it is done."""
        yield from self._end_part()
        self.status = status
        yield "response.output_item.done", {"output_index": self._where["output_index"], "item": self.value}

    def _at(self) -> dict[str, Any]:
        return {**self._where, "content_index": len(self._content)}

    def _end_part(self) -> Iterator[Event]:
        if not self._key:
            return
        at, text = self._at(), "".join(self._pieces)
        if self._key == "refusal":
            yield "response.refusal.done", {**at, "refusal": text}
        else:
            yield "response.output_text.done", {**at, "text": text, "logprobs": []}
        part = _part(self._key, text)
        yield "response.content_part.done", {**at, "part": part}
        self._content.append(part)
        self._pieces, self._key = [], ""


class Reasoning:
    """What the model thinks. Its text is told as a summary, which every client shows."""

    def __init__(self, place: int, identity: str) -> None:
        self._at: dict[str, Any] = {"item_id": identity, "output_index": place, "summary_index": 0}
        self._pieces: list[str] = []
        self._sealed = ""
        self.status = "in_progress"

    @property
    def value(self) -> dict[str, Any]:
        """The item as it is now."""
        summary = [_summary("".join(self._pieces))] if self._pieces and self.status != "in_progress" else []
        sealed = {"encrypted_content": self._sealed} if self._sealed else {}
        return {"id": self._at["item_id"], "type": "reasoning", "summary": summary, **sealed}

    def begin(self) -> Iterator[Event]:
        """Yield the events that say it begins."""
        yield "response.output_item.added", {"output_index": self._at["output_index"], "item": self.value}

    def think(self, text: str) -> Iterator[Event]:
        """Think some more."""
        if not self._pieces:
            yield "response.reasoning_summary_part.added", {**self._at, "part": _summary("")}
        self._pieces.append(text)
        yield "response.reasoning_summary_text.delta", {**self._at, "delta": text}

    def seal(self, sealed: str) -> None:
        """Add what the provider alone can read. The item ends then."""
        self._sealed = sealed

    def end(self, status: str) -> Iterator[Event]:
        """Yield the events that say it is done."""
        if self._pieces:
            text = "".join(self._pieces)
            yield "response.reasoning_summary_text.done", {**self._at, "text": text}
            yield "response.reasoning_summary_part.done", {**self._at, "part": _summary(text)}
        self.status = status
        yield "response.output_item.done", {"output_index": self._at["output_index"], "item": self.value}


class ToolCall:
    """A call of a tool, by the name that the client gave it.

    Free text that crosses as a function's argument is told when all of it is there: half of a JSON text says nothing.
    """

    def __init__(self, place: int, identity: str, call_id: str, tool: Known, *, is_wrapped: bool) -> None:
        """`is_wrapped`: the tool takes free text, and the model writes it as the argument of a function."""
        self._where: dict[str, Any] = {"item_id": identity, "output_index": place}
        self._call_id = call_id
        self._tool = tool
        self._is_wrapped = is_wrapped
        self._pieces: list[str] = []
        self.status = "in_progress"

    @property
    def value(self) -> dict[str, Any]:
        """The item as it is now."""
        kind, key = ("custom_tool_call", "input") if self._tool.is_free else ("function_call", "arguments")
        said = {
            "id": self._where["item_id"], "type": kind, "status": self.status, "call_id": self._call_id,
            "name": self._tool.name, key: "" if self.status == "in_progress" else self._written(),
        }  # fmt: skip
        return said | {"namespace": self._tool.namespace} if self._tool.namespace else said

    def begin(self) -> Iterator[Event]:
        """Yield the events that say it begins."""
        yield "response.output_item.added", {"output_index": self._where["output_index"], "item": self.value}

    def write(self, text: str) -> Iterator[Event]:
        """Write some more of its arguments."""
        self._pieces.append(text)
        if not self._is_wrapped:
            yield self._more(text)

    def end(self, status: str) -> Iterator[Event]:
        """Yield the events that say it is done."""
        text = self._written()
        if text and (self._is_wrapped or not self._pieces):
            yield self._more(text)
        if self._tool.is_free:
            yield "response.custom_tool_call_input.done", {**self._where, "input": text}
        else:
            said = {**self._where, "name": self._tool.name, "arguments": text}
            yield "response.function_call_arguments.done", said
        self.status = status
        yield "response.output_item.done", {"output_index": self._where["output_index"], "item": self.value}

    def _more(self, text: str) -> Event:
        kind = "custom_tool_call_input" if self._tool.is_free else "function_call_arguments"
        return f"response.{kind}.delta", {**self._where, "delta": text}

    def _written(self) -> str:
        text = "".join(self._pieces)
        if self._is_wrapped:
            return unwrapped(text)
        return text or ("" if self._tool.is_free else "{}")


def _part(key: str, text: str) -> dict[str, Any]:
    if key == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}
