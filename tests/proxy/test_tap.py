"""What passes is digested whole, kept if it is wanted, and its tokens are guessed within a factor of 2."""

from __future__ import annotations

from hashlib import sha256

import pytest

from gateway.proxy.tap import LARGE, LARGEST_KEPT, MOST_PENDING, Tap
from tests.faults import comment, event
from tests.faults.recipes import DONE, chunk, delta, finish, usage_event

WORD = "word"
TEN_TOKENS = "seven words of text that are ten tokens."


def tapped(*pieces: bytes, keeps: bool = False) -> Tap:
    tap = Tap(keeps=keeps)
    for piece in pieces:
        tap.note(piece)
    return tap


def test_the_digest_is_of_all_that_passed() -> None:
    """However it was cut."""
    whole = bytes(range(256)) * 100
    for size in (1, 7, 5000, len(whole)):
        tap = tapped(*(whole[at : at + size] for at in range(0, len(whole), size)))
        assert (tap.sha256, tap.passed_bytes, tap.kept) == (sha256(whole).digest(), len(whole), b"")
    assert tapped().sha256 == sha256(b"").digest()


def test_what_is_kept() -> None:
    """All of it, up to a limit: from there on nothing more."""
    assert tapped(b"a", b"bc", keeps=True).kept == b"abc"
    half = bytes(LARGEST_KEPT // 2)
    tap = tapped(half, half, b"x", b"y", keeps=True)
    assert tap.kept == half + half
    assert tap.passed_bytes == LARGEST_KEPT + 2


def test_a_long_stream_takes_little_memory() -> None:
    """What is looked at to guess is a few small pieces and one large."""
    tap = tapped(*[bytes(100_000)] * 50, *[bytes(LARGE - 1)] * 50, *[bytes(100_000)] * 3, *[b"x" * 9] * 20)
    assert len(tap._sample) + sum(map(len, tap.pending)) <= 100_000 + 2 * MOST_PENDING * LARGE


NOTHING: dict[str, bytes] = {
    "": b"",
    "a comment": comment().content * 9,
    "the end": DONE.content,
    "why it ended": finish().content,
    "usage": usage_event().content,
    "no JSON": b"data: {\n\n",
    "half an event": b'data: {"choi',
}


@pytest.mark.parametrize("last", NOTHING)
@pytest.mark.parametrize(("text", "tokens"), [("a", 1), (WORD, 1), (TEN_TOKENS, 10), (TEN_TOKENS * 10, 100)])
@pytest.mark.parametrize("together", [1, 3, 50])
def test_the_tokens_of_a_stream(text: str, tokens: int, together: int, last: str) -> None:
    """Whatever its last piece is, and however many events come in one."""
    piece = delta(text).content * together
    tap = tapped(*[piece] * 60, NOTHING[last])
    assert tokens * together * 30 <= tap.output_tokens() <= tokens * together * 120


@pytest.mark.parametrize("last", NOTHING)
def test_where_there_is_no_text_there_are_no_tokens(last: str) -> None:
    """Nobody is charged for a comment."""
    assert tapped(NOTHING[last]).output_tokens() == 0
    assert tapped(b"{}", b"data: " + b"[" * 2000 + b"\n\n", NOTHING[last]).output_tokens() == 0


def test_a_short_stream_is_counted_whole() -> None:
    """One with a preamble, three words and an end."""
    start = event(chunk({"role": "assistant", "content": ""}))
    tap = tapped(start, *[delta(WORD).content] * 3, finish().content, DONE.content)
    assert 2 <= tap.output_tokens() <= 6


def test_a_rough_guess_follows_a_stream() -> None:
    """It is made anew whenever twice as much has passed, and grows with every byte in between."""
    tap = Tap()
    before = 0
    for _ in range(20):
        for _ in range(10):
            tap.note(delta(WORD).content)
        now = tap.output_tokens_roughly()
        assert before < now
        before = now
    assert tap.output_tokens_roughly() == pytest.approx(tap.output_tokens(), rel=0.1)
    for _ in range(400):
        tap.note(delta(TEN_TOKENS).content)
    assert tap.output_tokens_roughly() == tap.output_tokens()
