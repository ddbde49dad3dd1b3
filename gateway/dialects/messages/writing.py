"""Write a request of the Messages API from the pivot.

System and developer turns that begin the conversation are `system`. Later ones keep their place, as words of the user:
only the newest models take the role `system` among messages. Turns of one side become one message, in which results of
tools come first, as Anthropic wants them.

Source: providers.md part D; the SDK's types, version 2.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.dialects.deltas import Ask, Format, OpaquePart, Tool, ToolChoice, Turn, Written
from gateway.dialects.messages.asking import BILLING, NAME
from gateway.dialects.messages.blocks import BlockWriter, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_TOKENS = 16_384
"""`max_tokens` of a call that names no limit: here the field is required. Every Claude of 2026 writes so much, and the
thoughts count too. A provider's own lower limit is set where the catalog knows it."""
_MODES = {"auto": "auto", "none": "none", "any": "any", "one": "tool"}
_EFFORTS = {name: name for name in ("low", "medium", "high", "xhigh", "max")} | {"minimal": "low"}
_LEADING = ("system", "developer")
# `thinking` of these types says how hard to think, whatever `output_config.effort` says beside it.
_DECIDES = ("enabled", "disabled")


def write(ask: Ask, model: str) -> Written:
    """Return the request that asks for the same."""
    return _Writer(ask).written(model)


class _Writer:
    """Writes one request."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._is_own = ask.dialect == NAME
        self._blocks = BlockWriter(is_own=self._is_own)

    def written(self, model: str) -> Written:
        ask = self._ask
        most = MOST_TOKENS if ask.most_tokens is None else ask.most_tokens
        body: dict[str, Any] = {"model": model, "max_tokens": most}
        begun = next((place for place, turn in enumerate(ask.turns) if turn.role not in _LEADING), len(ask.turns))
        system = [block for turn in ask.turns[:begun] for block in self._said(turn)]
        messages = self._messages(ask.turns[begun:])
        if not (messages or self._is_own) and system:  # a chat may have nothing else, but here a message is needed
            messages, system = [{"role": "user", "content": text_of(system)}], []
        rest = {**self._blocks.left(ask.rest), **(ask.marks if self._is_own else {})}
        if billing := rest.pop(BILLING, None):
            system.insert(0, {"type": "text", "text": billing})
        if system:
            body["system"] = text_of(system)
        body["messages"] = messages
        tools = [tool for one in ask.tools if (tool := self._tool(one)) is not None]
        if tools:
            body["tools"] = tools
        if tools or self._is_own:
            body |= self._choice()
        body |= self._sampling()
        body |= rest | self._config(rest)
        if ask.user is not None:
            body["metadata"] = {**rest.get("metadata", {}), "user_id": ask.user}
        if ask.stream:
            body["stream"] = True
        if ask.answers != 1:
            self._blocks.lose("n")
        return Written(msgspec.json.encode(body), tuple(self._blocks.lost))

    # -- the conversation

    def _said(self, turn: Turn) -> list[Any]:
        """Return the blocks of a turn. A chat's `cache_control` of a whole message is that of its last block."""
        blocks = self._blocks.blocks(turn.parts)
        more = self._blocks.left(turn.rest)
        if more and blocks and isinstance(blocks[-1], dict):
            blocks[-1] = {**blocks[-1], **more}
        return blocks

    def _messages(self, turns: Iterable[Turn]) -> list[Any]:
        sides: list[tuple[str, list[Any]]] = []
        for turn in turns:
            if blocks := self._said(turn):
                role = self._side(turn)
                if sides and sides[-1][0] == role:
                    sides[-1][1].extend(blocks)
                else:
                    sides.append((role, blocks))
        return [{"role": role, "content": text_of(_results_first(blocks))} for role, blocks in sides]

    def _side(self, turn: Turn) -> str:
        if turn.role == "assistant" or (self._is_own and turn.role == "system"):
            return turn.role
        return "user"

    # -- its fields

    def _tool(self, tool: Tool | OpaquePart) -> Any:
        if isinstance(tool, OpaquePart):
            return self._blocks.opaque(tool)
        said: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            said["description"] = tool.description
        said["input_schema"] = {"type": "object", "properties": {}} if tool.schema is None else tool.schema
        if tool.strict is not None:
            said["strict"] = tool.strict
        return {**said, **self._blocks.left(tool.rest)}

    def _choice(self) -> dict[str, Any]:
        choice, parallel = self._ask.tool_choice, self._ask.parallel_tools
        if choice is None and parallel is not False:
            return {}
        choice = choice or ToolChoice("auto")
        said: dict[str, Any] = {"type": _MODES[choice.mode]}
        if choice.mode == "one":
            said["name"] = choice.name
        if parallel is not None and (self._is_own or choice.mode != "none"):
            said["disable_parallel_tool_use"] = not parallel
        return {"tool_choice": said}

    def _sampling(self) -> dict[str, Any]:
        """Return how words are chosen, and where the answer stops.

        Others allow a temperature of 2. A model that thinks takes neither `temperature` nor `top_p`, and newer ones
        take one of the two. Where a value is the usual one, nothing is lost.
        """
        ask = self._ask
        said: dict[str, Any] = {}
        for name, value in (("temperature", ask.temperature), ("top_p", ask.top_p)):
            if value is None:
                continue
            if self._is_own or not (self._thinks or said):
                said[name] = value if self._is_own else min(value, 1)
            if said.get(name, 1) != value:
                self._blocks.lose(name)
        stop = [one for one in ask.stop if one.strip() or self._is_own]
        if len(stop) < len(ask.stop):
            self._blocks.lose("stop")
        if stop:
            said["stop_sequences"] = stop
        return said

    @property
    def _thinks(self) -> bool:
        """Whether a call of another dialect asks for thoughts, as far as they are allowed: no tool may be forced."""
        ask = self._ask
        forced = ask.tool_choice is not None and ask.tool_choice.mode in ("any", "one") and ask.tools
        return ask.effort in _EFFORTS and not self._is_own and not forced

    def _config(self, rest: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that say how hard to think, and the format of the answer."""
        effort, thinking = self._ask.effort, rest.get("thinking")
        config: dict[str, Any] = {}
        said: dict[str, Any] = {}
        if effort == "none":
            if thinking is None:
                said["thinking"] = {"type": "disabled"}
        elif effort is not None and not (isinstance(thinking, dict) and thinking.get("type") in _DECIDES):
            word = effort if self._is_own else _EFFORTS.get(effort)
            if word is None:
                self._blocks.lose("effort")
            else:
                config["effort"] = word
                if self._thinks:
                    said["thinking"] = {"type": "adaptive"}
        if (format_ := self._format(self._ask.format)) is not None:
            config["format"] = format_
        if config:
            said["output_config"] = {**rest.get("output_config", {}), **config}
        return said

    def _format(self, format_: Format | None) -> dict[str, Any] | None:
        if format_ is None:
            return None
        if format_.schema is None:
            self._blocks.lose("format")  # there is none for JSON of any shape
            return None
        return {"type": "json_schema", "schema": format_.schema, **self._blocks.left(format_.rest)}


def _results_first(blocks: list[Any]) -> list[dict[str, Any]]:
    return sorted(blocks, key=_is_no_result)


def _is_no_result(block: Any) -> bool:
    return not (isinstance(block, dict) and block.get("type") == "tool_result")
