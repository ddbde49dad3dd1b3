"""What is charged otherwise than by the token is read from the call, or guessed from the end of its answer."""

from __future__ import annotations

import pytest

from gateway.dialects.body import read_call
from gateway.dialects.endpoints import CHAT, SPEECH
from gateway.dialects.plain import characters_of
from gateway.dialects.units import MOST_ANSWERS, answers_of, heard_ms


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        (b'"Hello"', 5),
        (b'""', 0),
        ('"Grüße, 世界"'.encode(), 9),
        (b'"\\u00e9\\n\\"\\\\"', 4),  # escapes are what they stand for
        (b'"\\ud83d\\ude00"', 1),  # both halves of one character
        ('"😀"'.encode(), 1),
        (b"7", 1),
        (b'["ab"]', 6),
        (b"null", 4),
    ],
)
def test_characters_to_be_read_out(text: bytes, characters: int) -> None:
    """As they are meant, not as they are written."""
    body = b'{"model": "m", "voice": "alloy", "input": %b}' % text
    assert characters_of(read_call(SPEECH, body)) == characters
    assert characters_of(read_call(CHAT, body)) == 0


def test_nothing_to_read_out() -> None:
    assert characters_of(read_call(SPEECH, b'{"model": "m"}')) == 0


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        (b"", 1), (b', "n": 1', 1), (b', "n": 5', 5), (b', "n": null', 1), (b', "n": 0', 1), (b', "n": -3', 1),
        (b', "n": "5"', 1), (b', "n": 1e9', 1), (b', "n": 100000000', MOST_ANSWERS), (b', "n": 2, "best_of": 8', 8),
        (b', "n": 2, "best_of": 1', 2), (b', "best_of": []', 1),
    ],
)  # fmt: skip
def test_answers_that_are_asked_for(fields: bytes, answers: int) -> None:
    """What makes no sense is one: the upstream will say so."""
    assert answers_of(read_call(CHAT, b'{"model": "m"%b}' % fields)) == answers


@pytest.mark.parametrize(
    ("end", "size", "ms"),
    [
        (b"1\n00:00:00,000 --> 00:00:27,480\nHello\n", 40, 27_480),
        (b"2\n01:02:00,000 --> 01:02:03,004\nEnd 10:00:00 sharp\n", 50, 3_723_004),
        (b"WEBVTT\n\n00:00.000 --> 01:27.480\nHello\n", 40, 87_480),
        (b"at 00:01:27,480 he said", 23, 1533),  # no subtitle
        (b"x" * 30, 30, 2000),
        (b"x" * 30, 9000, 600_000),
        (b"", 0, 0),
        (b'{"text": "%b"}' % (b"x" * 30), 42, 2000),
        (b'{"text": ""}', 12, 0),
        (b'{"text": "x", "segments": [{"end": 2.5}, {"start": 2.5, "end": 8.47}]}', 70, 8470),
        (b'{"text": "%b", "segments": [{"end": "?"}]}' % (b"x" * 30), 70, 2000),
        (b'{"text": 7}' + b" " * 19, 30, 2000),
        (b'{"tex' + b"x" * 25, 30, 2000),
    ],
)
def test_how_long_the_sound_was(end: bytes, size: int, ms: int) -> None:
    """By the last time of subtitles, else by how long it takes to say as much."""
    assert heard_ms(end, size) == ms
