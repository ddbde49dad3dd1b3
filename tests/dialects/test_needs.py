"""What a body needs, by its structure: words that only look like a picture are none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.dialects.body import read_call, render
from gateway.dialects.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RERANK, RESPONSES
from gateway.dialects.needs import MOST_OBJECTS, lowered_limits, read_needs
from gateway.types import Call, Capability, Params

if TYPE_CHECKING:
    from gateway.types import Endpoint, Needs

PIXELS = "iVBORw0KGgo" * 4000
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXELS}}
SOUND = {"type": "input_audio", "input_audio": {"data": PIXELS, "format": "wav"}}
FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64," + PIXELS, "filename": "a.pdf"}}
INPUT_PICTURE = {"type": "input_image", "image_url": "data:image/png;base64," + PIXELS}
INPUT_FILE = {"type": "input_file", "file_data": PIXELS}
BLOCK = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}}
TEXT = {"type": "text", "text": "What is this?"}


def needs_of(endpoint: Endpoint, body: dict[str, Any]) -> Needs:
    return read_needs(read_call(endpoint, json.dumps({"model": "m", **body}).encode()))


def said(*parts: object, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(parts)}]}


def tool(**schema: object) -> dict[str, Any]:
    function = {"name": "look", "parameters": {"type": "object", **schema}}
    return {"messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": function}]}


PICTURES = {
    "chat": (CHAT, said(TEXT, PICTURE)),
    "chat, at a URL": (CHAT, said({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})),
    "chat, the type last": (CHAT, said({"image_url": {"url": "https://example.com/a.png"}, "type": "image_url"})),
    "chat, an earlier turn": (CHAT, {"messages": [said(PICTURE)["messages"][0], {"role": "user", "content": "and?"}]}),
    "chat, among texts": (CHAT, said("text", PICTURE)),
    "chat, in a tool's result": (CHAT, said(TEXT, PICTURE, role="tool")),
    "chat, in Anthropic's words": (CHAT, said(TEXT, BLOCK)),
    "chat, in Anthropic's tool result": (CHAT, said({"type": "tool_result", "tool_use_id": "t", "content": [BLOCK]})),
    "chat, of an earlier answer": (CHAT, {"messages": [{"role": "assistant", "content": "", "images": [PICTURE]}]}),
    "responses": (RESPONSES, {"input": [{"role": "user", "content": [INPUT_PICTURE]}]}),
    "responses, with a type": (RESPONSES, {"input": [{"type": "message", "role": "user", "content": [INPUT_PICTURE]}]}),
    "responses, in a tool's result": (
        RESPONSES,
        {"input": [{"type": "function_call_output", "call_id": "c", "output": [INPUT_PICTURE]}]},
    ),
    "responses, a screenshot": (
        RESPONSES,
        {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": "data:"}}]},
    ),
    "responses, a variable of a template": (
        RESPONSES,
        {"prompt": {"id": "p", "variables": {"city": "Rome", "photo": INPUT_PICTURE}}},
    ),
    "embeddings": (EMBEDDINGS, {"input": ["text", PICTURE]}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_part(name: str) -> None:
    """Wherever parts can be; its bytes are no text, however they are sent."""
    needs = needs_of(*PICTURES[name])
    assert Capability.VISION in needs.capabilities
    assert Capability.AUDIO not in needs.capabilities
    assert 1000 <= needs.input_tokens < 1100


LONG = "image_url input_image " * 10
NO_PICTURES = {
    "a property of that name": (CHAT, tool(properties={"image_url": {"type": "string"}, "input_image": {}})),
    "a required property": (CHAT, tool(required=["image_url"], properties={"image": {"type": "string"}})),
    "an enumeration": (CHAT, tool(properties={"type": {"type": "string", "enum": ["image_url", "input_image"]}})),
    "a constant": (CHAT, tool(properties={"type": {"const": "input_image"}, "x": {"type": "image_url"}})),
    "a description": (CHAT, tool(description='send {"type":"image_url"} or {"type": "input_image"}')),
    "an example": (CHAT, tool(examples=[{"type": "input_image", "image_url": "data:"}], default={"type": "image_url"})),
    "a tool of that name": (CHAT, {"tools": [{"type": "function", "function": {"name": "image_url"}}]}),
    "prose": (CHAT, {"messages": [{"role": "user", "content": 'Why is {"type": "image_url"} refused?'}]}),
    "prose in a part": (CHAT, said({"type": "text", "text": json.dumps(PICTURE)[:200]})),
    "a part with such a property": (CHAT, said({"type": "text", "text": "hi", "image_url": None})),
    "a tool's result as text": (
        CHAT,
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": json.dumps([{"type": "image_url"}])}]},
    ),
    "arguments of a call": (
        CHAT,
        {
            "messages": [{
                "role": "assistant", "content": None,
                "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"type":"image_url"}'}}],
            }]
        },
    ),
    "input of Anthropic's call": (CHAT, said({"type": "tool_use", "name": "f", "input": {"type": "image"}})),
    "metadata": (CHAT, {"metadata": {"type": "image_url"}, **said(TEXT)}),
    "a user of that name": (CHAT, {"user": "image_url", **said(TEXT)}),
    "a name": (CHAT, {"messages": [{"role": "user", "name": "image_url", "content": [TEXT]}]}),
    "a type that is none": (CHAT, said({"type": ["image_url"], "text": "hi"}, {"type": {"image_url": 1}}, {"type": 5})),
    "a tool of Codex": (
        RESPONSES,
        {
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
            "tools": [{
                "type": "namespace", "name": "multi_agent_v1",
                "tools": [{"type": "function", "name": "spawn", "parameters": {"properties": {"image_url": {}}}}],
            }],
        },
    ),
    "a tool's result of Codex": (
        RESPONSES,
        {"input": [{"type": "function_call_output", "call_id": "c", "output": '[{"type":"input_image"}]'}]},
    ),
    "a prompt": (COMPLETIONS, {"prompt": ['{"type":"image_url"}', "image_url"], "logit_bias": {"type": 1}}),
    "embeddings": (EMBEDDINGS, {"input": ["image_url", '"type":"image_url"'], "encoding": {"type": "input_image"}}),
    "tokens": (EMBEDDINGS, {"input": [[1, 2], [3]], "type": "image_url"}),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture(name: str) -> None:
    """Names, schemas, prose and quoted JSON are text."""
    needs = needs_of(*NO_PICTURES[name])
    assert not needs.capabilities & {Capability.VISION, Capability.AUDIO}
    assert needs.input_tokens < 300


@pytest.mark.parametrize(
    ("endpoint", "body", "capability"),
    [
        (CHAT, said(TEXT, SOUND), Capability.AUDIO),
        (CHAT, said({"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64," + PIXELS}}), Capability.AUDIO),
        (CHAT, said(TEXT, FILE), None),  # providers read most files as text
        (CHAT, said({"type": "document", "source": {"type": "base64", "data": PIXELS}}), None),
        (RESPONSES, {"input": [{"role": "user", "content": [INPUT_FILE]}]}, None),
        (RESPONSES, {"input": [{"type": "image_generation_call", "result": PIXELS}]}, None),
    ],
)
def test_sounds_and_files(endpoint: Endpoint, body: dict[str, Any], capability: Capability | None) -> None:
    """Their bytes are no text either."""
    needs = needs_of(endpoint, body)
    assert needs.capabilities == (frozenset() if capability is None else frozenset({capability}))
    assert needs.input_tokens < 1100


@pytest.mark.parametrize(
    ("endpoint", "body", "capability", "is_needed"),
    [
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {}}}, Capability.JSON_SCHEMA, True),
        (CHAT, {"response_format": {"json_schema": {}, "type": "json_schema"}}, Capability.JSON_SCHEMA, True),
        (CHAT, {"response_format": {"type": "json_object"}}, Capability.JSON_SCHEMA, False),
        (CHAT, {"response_format": {"type": "text"}, **tool(title="json_schema")}, Capability.JSON_SCHEMA, False),
        (CHAT, {"response_format": None, **tool(properties={"json_schema": {}})}, Capability.JSON_SCHEMA, False),
        (CHAT, {"response_format": "json_schema"}, Capability.JSON_SCHEMA, False),
        (CHAT, tool(properties={"json_schema": {"type": "json_schema"}}), Capability.JSON_SCHEMA, False),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "x"}}}, Capability.JSON_SCHEMA, True),
        (RESPONSES, {"text": {"format": {"type": "text"}, "verbosity": "low"}}, Capability.JSON_SCHEMA, False),
        (RESPONSES, {"text": {"format": None}}, Capability.JSON_SCHEMA, False),
        (RESPONSES, {"text": {"type": "json_schema"}}, Capability.JSON_SCHEMA, False),
        (CHAT, tool(), Capability.TOOLS, True),
        (CHAT, {"functions": [{"name": "f"}]}, Capability.TOOLS, True),
        (CHAT, {"tools": []}, Capability.TOOLS, False),
        (CHAT, {"tools": None, "messages": [{"role": "user", "name": "x", "content": ""}]}, Capability.TOOLS, False),
        (CHAT, {"tools": {}}, Capability.TOOLS, False),
        (RESPONSES, {"input": "hi", "tools": [{"type": "web_search"}]}, Capability.TOOLS, True),
    ],
)
def test_schemas_and_tools(endpoint: Endpoint, body: dict[str, Any], capability: Capability, is_needed: bool) -> None:
    """A schema where the answer's form is said, tools where there is one."""
    assert (capability in needs_of(endpoint, body).capabilities) == is_needed


def test_blank_lists_have_no_tools() -> None:
    """However they are written."""
    call = read_call(CHAT, b'{"model":"m","tools" : [ \n\t ] ,"messages":[]}')
    assert read_needs(call).capabilities == frozenset()


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"max_tokens": 32_000}, 32_000),
        ({"max_completion_tokens": 5, "max_tokens": 7}, 5),
        ({"max_completion_tokens": None, "max_tokens": 7}, 7),
        ({"max_output_tokens": 9}, 9),
        ({"max_tokens": "7"}, 0),
        ({"max_tokens": -1}, 0),
        ({"max_tokens": 7.5}, 0),
        ({"max_tokens": True}, 0),
        ({"max_tokens": 1 << 70}, 1 << 40),
        ({}, 0),
    ],
)
def test_the_longest_answer(body: dict[str, Any], tokens: int) -> None:
    """Whatever is no positive number says nothing."""
    assert needs_of(CHAT, body).output_tokens == tokens


@pytest.mark.parametrize(
    ("text", "letters_a_token"),
    [("Почему небо синее? ", 2), ("空はなぜ青い", 2), ("plain words ", 4), ("caf\u00e9 ", 4)],
)
def test_escapes_are_no_letters(text: str, letters_a_token: int) -> None:
    r"""Python's json.dumps writes \u0435 for a letter of two bytes; that makes no text three times as long."""
    message = text * 3000
    escaped, plain = (
        json.dumps({"model": "m", "messages": [{"role": "user", "content": message}]}, ensure_ascii=is_escaped)
        for is_escaped in (True, False)
    )
    by_escapes = read_needs(read_call(CHAT, escaped.encode())).input_tokens
    by_letters = read_needs(read_call(CHAT, plain.encode())).input_tokens
    assert by_escapes <= by_letters * 1.01
    assert by_escapes >= len(message) // letters_a_token // 2


@pytest.mark.parametrize("text", [rb"\ud83d", rb"\\\\ud83d", b'","x":[-Infinity,NaN],"y":"Infinity'])
def test_what_only_lenient_readers_take(text: bytes) -> None:
    """Half a letter, or a number that is none, beside a picture hides no picture."""
    part = json.dumps(PICTURE).encode()
    raw = b'[{"role":"user","content":[{"type":"text","text":"%b"},%b]}]' % (text, part)
    body = b'{"model":"m","messages":%b}' % raw
    needs = read_needs(Call(CHAT, "m", body, (9, 12), {"messages": msgspec.Raw(raw)}))
    assert needs.capabilities == frozenset({Capability.VISION})
    assert needs.input_tokens < 1100


def test_a_stranger_body_than_expected_is_no_error() -> None:
    """A part may hold parts that hold parts; beyond a few levels nobody looks."""
    part: object = PICTURE
    for _ in range(200):
        part = {"type": "tool_result", "content": [part]}
    assert Capability.VISION not in needs_of(CHAT, said(part)).capabilities
    assert needs_of(CHAT, {"messages": 5, "type": 1}).capabilities == frozenset()
    assert needs_of(CHAT, {"messages": [[], None, 5, "x", {"type": 1}]}).capabilities == frozenset()


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        (b', "max_tokens" : 32000 ,"n":1', b', "max_tokens" : 4096 ,"n":1'),
        (b',"max_completion_tokens":32000', b',"max_completion_tokens":4096'),
        (b',"max_output_tokens":4097', b',"max_output_tokens":4096'),
        (b',"max_tokens":9999,"max_completion_tokens":5', b',"max_tokens":4096,"max_completion_tokens":5'),
        (b',"max_tokens":4096', None),
        (b',"max_tokens":null,"max_output_tokens":"9999"', None),
        (b',"max_tokens":-9999', None),
        (b',"messages":[{"content":"\\"max_tokens\\":32000"}],"x":{"max_tokens":32000}', None),
    ],
)
def test_lowering(sent: bytes, got: bytes | None) -> None:
    """The value is put in its place; every other byte is the client's."""
    call = read_call(CHAT, b'{"model":"a"%b}' % sent)
    lowered = lowered_limits(call, 4096)
    expected = b'{"model":"x"%b}' % (got or sent)
    assert render(call, b'"x"', Params(forced=lowered), ask_for_usage=False) == expected


MANY = MOST_OBJECTS + 1


@pytest.mark.parametrize(
    ("content", "is_picture"),
    [
        ([{"type": "text", "text": "{" * MANY}, PICTURE], True),
        ([{"type": "text", "text": json.dumps([PICTURE])[:99] + "{" * MANY}], False),
        ([{"type": "text", "text": "hi"}] * MANY + [PICTURE], True),
        ([{"type": "text", "text": "hi"}] * MANY, False),
        (["text"] * MANY + [PICTURE], False),  # too many texts to look between
    ],
)
def test_more_than_can_be_looked_at(content: list[object], is_picture: bool) -> None:
    """Millions of small objects would take seconds; of very many only the pattern is looked for."""
    needs = needs_of(CHAT, said(*content))
    assert (Capability.VISION in needs.capabilities) == is_picture


@pytest.mark.parametrize(
    ("value", "is_ids"),
    [
        ("[1,2]", True), ("[[1,2],[3]]", True), (" [ 1 ]", True), ("[\n [ -1 ] ]", True), ("[[],[1]]", True),
        ("[[], [ ], [1]]", True), ('"1"', False), ('["1","2"]', False), ("[]", False), ("[[]]", False), ("null", False),
        ("5", False), ('[["a"]]', False), ('[{"text":1}]', False), ('"[1]"', False),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("endpoint", "field"), [(EMBEDDINGS, "input"), (COMPLETIONS, "prompt")])
@pytest.mark.parametrize("more", ["", ',"type":[1],"tools":[{"type":"function"}]'])
def test_token_ids(endpoint: Endpoint, field: str, value: str, is_ids: bool, more: str) -> None:
    """Lists of numbers, or lists of such lists, in the field that holds text. No other field counts, nor text."""
    body = f'{{"model":"m","{field}": {value}{more}}}'
    found = read_needs(read_call(endpoint, body.encode())).capabilities
    assert (Capability.TOKEN_IDS in found) == is_ids
    assert (Capability.EMBEDDINGS in found) == endpoint.embeds


@pytest.mark.parametrize("endpoint", [MODERATIONS, RERANK, RESPONSES])
def test_token_ids_elsewhere(endpoint: Endpoint) -> None:
    """Endpoints that know no token ids are not looked at."""
    assert Capability.TOKEN_IDS not in needs_of(endpoint, {"input": [1, 2], "prompt": [1]}).capabilities
