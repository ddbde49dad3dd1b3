"""What the generator says about its answers is what an independent reader finds in them."""

from __future__ import annotations

import json
import re
import time
import zlib
from typing import Any

import pytest

from gateway.types import Usage
from tests.faults import Client, FaultyUpstream, chat
from tests.streams import random_document, random_stream

SEEDS = range(2_000)


def events(stream: str) -> list[str]:
    """Return the data of each event, by the letter of the HTML standard's section 9.2.6."""
    found: list[str] = []
    data: list[str] = []
    for line in re.split("\r\n|\n|\r", stream):
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            found.append("\n".join(data))
            data = []
    assert not data, "an event is not ended"
    return found


def as_usage(reported: dict[str, Any]) -> Usage:
    """Return usage as the gateway counts it."""
    return Usage(
        reported["prompt_tokens"],
        reported["completion_tokens"],
        reported.get("prompt_tokens_details", {}).get("cached_tokens", 0),
        reported.get("completion_tokens_details", {}).get("reasoning_tokens", 0),
    )


def test_streams_are_what_they_say() -> None:
    """Every stream is valid SSE of valid JSON, has content, the expected finish and usage, and a terminal event."""
    seen = set()
    for seed in SEEDS:
        answer = random_stream(seed)
        *chunks, done = events(answer.plain.decode())
        assert done == "[DONE]"
        parsed = [json.loads(chunk) for chunk in chunks]
        usages = [chunk.get("usage") or chunk.get("x_groq", {}).get("usage") for chunk in parsed]
        reported = [usage for usage in usages if usage]
        choices = [choice for chunk in parsed for choice in chunk["choices"]]
        assert choices[0]["delta"]["content"], seed
        assert {choice["finish_reason"] for choice in choices} == {None, answer.finish}
        assert not any(chunk.get("error") for chunk in parsed)
        assert answer.usage == (as_usage(reported[-1]) if reported else None)
        seen.add((len(reported) > 1, answer.framing if isinstance(answer.framing, str) else "length"))
    assert len(seen) == 6


def test_documents_are_what_they_say() -> None:
    """Every document is valid JSON with the expected finish and usage."""
    for seed in SEEDS:
        answer = random_document(seed)
        parsed = json.loads(answer.plain)
        assert parsed["choices"][-1]["finish_reason"] == answer.finish
        assert answer.usage == (as_usage(parsed["usage"]) if "usage" in parsed else None)


def test_fragments_are_the_framed_body() -> None:
    """The fragments join to the body in its transfer coding; compressed bodies decompress to the plain one."""
    for seed in SEEDS:
        answer = random_stream(seed)
        wire = b"".join(answer.fragments)
        if answer.framing == "chunked":
            assert wire.endswith(b"0\r\n\r\n")
        else:
            assert wire == answer.body
        assert answer.framing in {"chunked", "close", len(answer.body)}
        assert (zlib.decompress(answer.body, 31) if answer.compressed else answer.body) == answer.plain


def test_the_same_seed_makes_the_same_answer() -> None:
    """Nothing but the seed decides."""
    assert [random_stream(seed) for seed in range(50)] == [random_stream(seed) for seed in range(50)]
    assert random_stream(1) != random_stream(2)


def test_generation_is_fast() -> None:
    """A stream takes about 50 us to make, so that 10,000 cost a test half a second."""
    started = time.process_time()
    for seed in range(1_000):
        random_stream(seed)
    assert (time.process_time() - started) / 1_000 < 300e-6  # coverage and slow machines included


@pytest.mark.parametrize("make", [random_stream, random_document])
async def test_played_by_an_upstream(make: Any) -> None:
    """A client that talks to the upstream directly receives exactly the body."""
    answers = [make(seed) for seed in range(300)]
    async with FaultyUpstream(*(answer.script() for answer in answers)) as upstream:
        for answer in answers:
            async with Client(upstream.port) as client:
                await client.send(chat())
                response = await client.response()
            assert response.complete
            assert response.body == answer.body
            assert response.headers["content-type"] == answer.content_type
