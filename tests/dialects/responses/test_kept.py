"""A translated response is read from the pair of request and answer that the ledger keeps."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.dialects.responses.kept import (
    Kept,
    attempt_of,
    continued,
    deleted,
    id_of,
    input_items,
    name_of,
    previous_of,
    read_kept,
)
from gateway.errors import BadRequest

ATTEMPT = "0123456789ab00000000ff/2"
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]}
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": [SAID]}
ITEMS = [{"type": "message", "role": "user", "content": word} for word in ("one", "two", "three")]


def stream(kind: str = "response.completed") -> bytes:
    events = [{"type": "response.created", "response": {"output": []}}, {"type": kind, "response": RESPONSE}]
    return b": hello\n\n" + b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in events)


def test_ids() -> None:
    """A translated response is named after its attempt, and no other id is taken for one."""
    assert id_of(ATTEMPT) == f"resp_{name_of(ATTEMPT)}" == "resp_0123456789ab00000000ffn2"
    assert attempt_of(id_of(ATTEMPT)) == ATTEMPT
    for other in ("resp_1", "resp_0123456789ab00000000ffn", "msg_0123456789ab00000000ffn2", "", f"{id_of(ATTEMPT)}\n"):
        assert attempt_of(other) == ""


@pytest.mark.parametrize(
    "request_body, answer, found",
    [
        (b'{"input": "Hi"}', json.dumps(RESPONSE).encode(), True),
        (b'{"input": "Hi", "store": true}', b" \n" + json.dumps(RESPONSE).encode(), True),
        (b'{"input": "Hi"}', stream(), True),
        (b'{"input": "Hi"}', stream("response.incomplete"), True),
        (b'{"input": "Hi", "store": false}', stream(), False),
        (b'{"input": "Hi"}', stream("response.failed"), False),
        (b'{"input": "Hi"}', stream()[:-60], False),  # cut off
        (b'{"input": "Hi"}', b'{"error": {"message": "no"}}', False),
        (b'{"input": "Hi"}', b"", False),
        (b"--form", stream(), False),
    ],
)
def test_what_is_kept(request_body: bytes, answer: bytes, found: bool) -> None:
    kept = read_kept(request_body, answer)
    assert (kept is not None) is found
    assert kept is None or kept.response == RESPONSE


@pytest.mark.parametrize(
    "before, now, said",
    [
        ({"input": "Hi"}, {"input": "And?"}, [{"type": "message", "role": "user", "content": "Hi"}, SAID,
                                               {"type": "message", "role": "user", "content": "And?"}]),
        ({"input": ITEMS}, {"input": ITEMS[:1]}, [*ITEMS, SAID, ITEMS[0]]),
        ({"instructions": "Be brief"}, {"input": None, "instructions": "Be kind"}, [SAID]),
    ],
)  # fmt: skip
def test_a_request_goes_on(before: dict[str, Any], now: dict[str, Any], said: list[object]) -> None:
    body = json.dumps({**now, "model": "m", "previous_response_id": "resp_1"}).encode()
    assert json.loads(continued(body, Kept(before, RESPONSE))) == {**now, "model": "m", "input": said}


@pytest.mark.parametrize(
    "query, words, more",
    [
        ({}, ["three", "two", "one"], False),
        ({"order": "asc"}, ["one", "two", "three"], False),
        ({"order": "asc", "limit": "2"}, ["one", "two"], True),
        ({"order": "asc", "after": "item_x0001"}, ["three"], False),
        ({"after": "item_x0000"}, [], False),
    ],
)
def test_pages_of_its_input(query: dict[str, str], words: list[str], more: bool) -> None:
    page = json.loads(input_items(Kept({"input": ITEMS}, RESPONSE), "x", query))
    assert [one["content"] for one in page["data"]] == words
    assert (page["object"], page["has_more"]) == ("list", more)
    ids = [one["id"] for one in page["data"]] or [None]
    assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"order": "up"}, {"after": "item"}]
)
def test_a_page_that_is_none(query: dict[str, str]) -> None:
    (name,) = query
    with pytest.raises(BadRequest) as raised:
        input_items(Kept({"input": ITEMS}, RESPONSE), "x", query)
    assert raised.value.param == name


def test_fields() -> None:
    assert previous_of({"previous_response_id": msgspec.Raw(b'"resp_1"')}) == "resp_1"
    for other in (b"null", b"3", b"{}"):
        assert previous_of({"previous_response_id": msgspec.Raw(other)}) == ""
    assert previous_of({}) == ""
    assert json.loads(deleted("resp_1")) == {"id": "resp_1", "object": "response", "deleted": True}
