"""What becomes of each field of a request on each bridge: found by sending it across, and listed in docs/dialects.md.

`python -m tests.conformance.losses` writes the tables there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.dialects.body import read_call
from gateway.dialects.endpoints import CHAT, MESSAGES, RESPONSES
from gateway.dialects.passage import Bridge, passage
from gateway.errors import BadRequest

DOCS = Path(__file__).parent.parent.parent / "docs" / "dialects.md"
BEGIN, END = "<!-- losses: begin -->\n", "<!-- losses: end -->\n"
ENDPOINTS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
ARRIVES, LOST, QUIET, REFUSED = "yes", "lost", "left out", "400"

_TOOL = {"type": "object", "properties": {}}
_USER = {"role": "user", "content": "Hi"}
_PICTURE = "data:image/png;base64,iVBORw0KGgo="
_PDF = "data:application/pdf;base64,JVBERi0="

BASES: dict[str, dict[str, Any]] = {
    "chat": {
        "model": "m", "messages": [_USER],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": _TOOL}}],
    },
    "messages": {
        "model": "m", "max_tokens": 9, "messages": [_USER], "tools": [{"name": "f", "input_schema": _TOOL}],
    },
    "responses": {
        "model": "m", "input": [_USER], "store": False,
        "tools": [{"type": "function", "name": "f", "parameters": _TOOL}],
    },
}  # fmt: skip


def _user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "chat": {
        "max_tokens, max_completion_tokens": {"max_completion_tokens": 5},
        "temperature, top_p": {"temperature": 0.5},
        "stop": {"stop": ["x"]},
        "reasoning_effort": {"reasoning_effort": "low"},
        "response_format: json_schema": {
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": _TOOL}}
        },
        "response_format: json_object": {"response_format": {"type": "json_object"}},
        "tool_choice": {"tool_choice": "required"},
        "parallel_tool_calls": {"parallel_tool_calls": False},
        "user": {"user": "u"},
        "n": {"n": 2},
        "seed": {"seed": 1},
        "logprobs": {"logprobs": True},
        "logit_bias": {"logit_bias": {"1": 2}},
        "presence_penalty, frequency_penalty": {"presence_penalty": 1},
        "metadata": {"metadata": {"a": "b"}},
        "service_tier": {"service_tier": "flex"},
        "prompt_cache_key": {"prompt_cache_key": "k"},
        "store": {"store": True},
        "prediction": {"prediction": {"type": "content", "content": "x"}},
        "web_search_options": {"web_search_options": {}},
        "a picture": {"messages": _user({"type": "image_url", "image_url": {"url": _PICTURE}})},
        "its detail": {"messages": _user({"type": "image_url", "image_url": {"url": _PICTURE, "detail": "low"}})},
        "a file": {"messages": _user({"type": "file", "file": {"file_data": _PDF, "filename": "a.pdf"}})},
        "sound": {"messages": _user({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}})},
        "a video": {"messages": _user({"type": "video_url", "video_url": {"url": "https://a.example/v"}})},
        "name of a message": {"messages": [_USER | {"name": "Ann"}]},
        "a field that is not known here": {"vendor_option": 1},
    },
    "messages": {
        "system": {"system": "Be brief."},
        "temperature, top_p": {"temperature": 0.5},
        "stop_sequences": {"stop_sequences": ["x"]},
        "output_config.effort": {"output_config": {"effort": "low"}},
        "output_config.format": {"output_config": {"format": {"type": "json_schema", "schema": _TOOL}}},
        "thinking: adaptive, with an effort": {
            "output_config": {"effort": "low"}, "thinking": {"type": "adaptive"}
        },
        "thinking.display": {"thinking": {"type": "adaptive", "display": "omitted"}},
        "thinking.budget_tokens": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        "tool_choice": {"tool_choice": {"type": "any"}},
        "disable_parallel_tool_use": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        "metadata.user_id": {"metadata": {"user_id": "u"}},
        "top_k": {"top_k": 3},
        "service_tier": {"service_tier": "standard_only"},
        "context_management": {"context_management": {"edits": []}},
        "container": {"container": "c"},
        "mcp_servers": {"mcp_servers": [{"type": "url", "url": "https://a.example", "name": "a"}]},
        "tools of the provider": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "cache_control": {"system": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
        "a picture": {"messages": _user(
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
        )},
        "a document": {"messages": _user(
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
        )},
        "is_error of a result": {"messages": [
            _USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            *_user({"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True}),
        ]},
        "a field that is not known here": {"vendor_option": 1},
    },
    "responses": {
        "instructions": {"instructions": "Be brief."},
        "max_output_tokens": {"max_output_tokens": 5},
        "temperature, top_p": {"temperature": 0.5},
        "reasoning.effort": {"reasoning": {"effort": "low"}},
        "reasoning.summary": {"reasoning": {"summary": "auto"}},
        "text.format: json_schema": {"text": {"format": {"type": "json_schema", "name": "a", "schema": _TOOL}}},
        "text.format: json_object": {"text": {"format": {"type": "json_object"}}},
        "text.verbosity": {"text": {"verbosity": "low"}},
        "tool_choice": {"tool_choice": "required"},
        "parallel_tool_calls": {"parallel_tool_calls": False},
        "user": {"user": "u"},
        "safety_identifier": {"safety_identifier": "u"},
        "metadata": {"metadata": {"a": "b"}},
        "prompt_cache_key": {"prompt_cache_key": "k"},
        "include": {"include": ["reasoning.encrypted_content"]},
        "store": {"store": True},
        "truncation": {"truncation": "auto"},
        "service_tier": {"service_tier": "flex"},
        "max_tool_calls": {"max_tool_calls": 2},
        "top_logprobs": {"top_logprobs": 2},
        "previous_response_id, conversation, prompt": {"previous_response_id": "resp_1"},
        "background": {"background": True},
        "tools of the provider": {"tools": [{"type": "web_search"}]},
        "a picture": {"input": _user({"type": "input_image", "image_url": _PICTURE})},
        "its detail": {"input": _user({"type": "input_image", "image_url": _PICTURE, "detail": "low"})},
        "a file": {"input": _user({"type": "input_file", "file_data": _PDF, "filename": "a.pdf"})},
        "a field that is not known here": {"vendor_option": 1},
    },
}  # fmt: skip


def fate(near: str, far: str, field: str) -> str:
    """Return what becomes of a field."""
    over = passage(ENDPOINTS[near], [far])
    assert isinstance(over, Bridge)
    fields = FIELDS[near][field]
    try:
        asked, lost = over.cross(read_call(ENDPOINTS[near], json.dumps(BASES[near] | fields).encode()))
    except BadRequest:
        return REFUSED
    if lost:
        return LOST
    without, _ = over.cross(read_call(ENDPOINTS[near], json.dumps(BASES[near] | _without(near, field)).encode()))
    return QUIET if json.loads(asked.body) == json.loads(without.body) else ARRIVES


def _without(near: str, field: str) -> dict[str, Any]:
    """Return the same fields with the part that is in question left out, where it is not the whole field."""
    match near, field:
        case "messages", "cache_control":
            return {"system": [{"type": "text", "text": "Hi"}]}
        case "messages", "thinking: adaptive, with an effort":
            return {}
        case "chat", "its detail":
            return FIELDS[near]["a picture"]
        case "responses", "its detail":
            return FIELDS[near]["a picture"]
    return {}


def tables() -> str:
    """Return the tables, as docs/dialects.md has them."""
    said = []
    for near, fields in FIELDS.items():
        others = [name for name in ENDPOINTS if name != near]
        said += [f"| {near} | to {others[0]} | to {others[1]} |", "|---|---|---|"]
        said += [f"| {_code(field)} | {' | '.join(fate(near, far, field) for far in others)} |" for field in fields]
        said.append("")
    return "\n".join(said)


def _code(field: str) -> str:
    """Return a field's name, set as one unless it is a description."""
    return field if field.startswith(("a ", "its ", "sound", "tools of", "name of", "is_error of")) else f"`{field}`"


def main() -> None:
    """Write the tables to the documentation."""
    before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
    DOCS.write_text(before + BEGIN + tables() + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
