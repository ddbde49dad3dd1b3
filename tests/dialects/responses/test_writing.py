"""A conversation of another dialect becomes a request that a provider of Responses takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dialects.body import read_call
from gateway.dialects.chat import asking as chat_asking
from gateway.dialects.deltas import Ask, OpaquePart, TextPart, ThinkingPart, ToolResultPart, ToolUsePart, Turn
from gateway.dialects.endpoints import CHAT
from gateway.dialects.responses.writing import write


def crossed(**fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A chat's call in this dialect, without its input if that is not given, and what is lost."""
    body = {"model": "m", "messages": [], **fields}
    said = write(chat_asking.parse(read_call(CHAT, json.dumps(body).encode())), "m")
    return json.loads(said.body), said.lost


def test_a_chat_becomes_items() -> None:
    body, lost = crossed(messages=[
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Really."},
        {"role": "user", "content": [
            {"type": "text", "text": "Hi", "cache_control": {}},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "U", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
            {"type": "video_url", "video_url": {}},
        ]},
        {"role": "assistant", "content": "Wait", "reasoning_content": "Hm", "refusal": "No.", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "d", "type": "custom", "custom": {"name": "g", "input": "ls"}},
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
        {"role": "tool", "tool_call_id": "d", "content": ["a", "b"]},
        {"role": "user", "content": "Bye", "name": "x"},
    ])  # fmt: skip
    assert body == {
        "model": "m", "store": False,
        "input": [
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Really."}]},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Hi"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                {"type": "input_audio", "input_audio": {"data": "U", "format": "wav"}},
                {"type": "input_file", "file_data": "data:x", "filename": "a.pdf"},
            ]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait"},
                                                                 {"type": "refusal", "refusal": "No."}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "ls"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
            {"type": "custom_tool_call_output", "call_id": "d",
             "output": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Bye"}]},
        ],
    }  # fmt: skip
    assert lost == ("cache_control", "video_url", "thinking", "name")


@pytest.mark.parametrize(
    ("fields", "said", "lost"),
    [
        ({"max_tokens": 9, "temperature": 0, "top_p": 0.5, "stream": True, "user": "u"},
         {"max_output_tokens": 9, "temperature": 0, "top_p": 0.5, "stream": True, "user": "u"}, ()),
        ({"stop": "x", "n": 2, "seed": 7}, {}, ("stop", "n", "seed")),
        ({"metadata": {"a": "b"}, "prompt_cache_key": "k", "service_tier": "flex"},
         {"metadata": {"a": "b"}, "prompt_cache_key": "k", "service_tier": "flex"}, ()),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}, ()),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}},
         {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}}}, ()),
        # Models that do not think refuse to be asked for what they think.
        ({"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}, ()),
        ({"reasoning_effort": "high"},
         {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]}, ()),
        # A schema is strict here unless it says otherwise.
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}], "tool_choice": "required",
          "parallel_tool_calls": False},
         {"tools": [{"type": "function", "name": "f", "parameters": {"a": 1}, "strict": False}],
          "tool_choice": "required", "parallel_tool_calls": False}, ()),
        ({"tools": [{"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {
            "syntax": "lark", "definition": "x"}}}}, {"type": "web_search"}],
          "tool_choice": {"type": "function", "function": {"name": "g"}}},
         {"tools": [{"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark",
                                                               "definition": "x"}}],
          "tool_choice": {"type": "function", "name": "g"}}, ("web_search",)),
    ],
)  # fmt: skip
def test_the_fields_of_a_chat(fields: dict[str, Any], said: dict[str, Any], lost: tuple[str, ...]) -> None:
    assert crossed(**fields) == ({"model": "m", "input": [], "store": False, **said}, lost)


def test_what_another_provider_has_thought_is_lost() -> None:
    """It would be refused; what a provider of this dialect has sealed goes back with the id that it had."""
    body, lost = crossed(messages=[
        {"role": "assistant", "content": "x", "reasoning_details": [
            {"type": "reasoning.text", "text": "Hm"}, {"type": "reasoning.encrypted", "data": "responses:rs_1:gA:A"},
        ]},
        {"role": "assistant", "content": "y", "reasoning_details": [
            {"type": "reasoning.text", "text": "Hm", "signature": "s"}, {"type": "reasoning.encrypted", "data": "e"},
        ]},
    ])  # fmt: skip
    assert body["input"][0] == {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gA:A"}
    assert [item["type"] for item in body["input"]] == ["reasoning", "message", "message"]
    assert body["include"] == ["reasoning.encrypted_content"]
    assert lost == ("thinking",)


def test_another_dialects_words_and_marks_stay_behind() -> None:
    """What it only noted is not named."""
    ask = Ask(
        "toy",
        (
            Turn("user", (TextPart("Hi", {"loud": 1}), OpaquePart({"type": "x"}), OpaquePart(5)), marks={"a": 1}),
            Turn("user", (OpaquePart({"type": "y"}),)),
            Turn("assistant", (ToolUsePart("c", "f", "{}", rest={"z": 1}, marks={"b": 1}), OpaquePart({"type": "w"}))),
            Turn("tool", (ToolResultPart("c", (), is_error=True, marks={"d": 1}),)),
            Turn("assistant", (ThinkingPart("Hm", signature="s"),)),
        ),
        marks={"e": 1},
    )
    said = write(ask, "m")
    assert json.loads(said.body)["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": ""},
    ]
    assert said.lost == ("loud", "x", "a part", "y", "z", "w", "is_error", "thinking")
