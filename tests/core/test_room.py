"""Whether a prompt fits, which models are asked last, and how much of `max_tokens` is left."""

from __future__ import annotations

import pytest

from gateway.core.room import is_tight, is_too_long, most_output, wanted_output
from gateway.types import Ability, Needs


def sizes(context: int | None, longest: int | None) -> Ability:
    return Ability(context_tokens=context, max_output_tokens=longest)


@pytest.mark.parametrize(
    ("context", "prompt", "too_long"),
    [(None, 10**9, False), (1000, 1000, False), (1000, 2000, False), (1000, 2001, True)],
)
def test_only_a_prompt_that_is_clearly_too_long_is_refused(context: int | None, prompt: int, too_long: bool) -> None:
    """The length is an estimate, so twice the context may still fit."""
    assert is_too_long(sizes(context, None), Needs(input_tokens=prompt)) is too_long


@pytest.mark.parametrize(("asked", "wanted"), [(0, 256), (1, 1), (4096, 4096), (32_000, 4096)])
def test_how_much_room_an_answer_should_have(asked: int, wanted: int) -> None:
    """Agents allow far more than they get, and a call that allows nothing still wants an answer."""
    assert wanted_output(Needs(output_tokens=asked)) == wanted


@pytest.mark.parametrize(
    ("context", "longest", "prompt", "asked", "tight"),
    [
        (None, None, 10**6, 10**6, False),
        (1000, None, 744, 0, False),  # 256 are left
        (1000, None, 745, 0, True),
        (1000, None, 990, 10, False),
        (1000, None, 990, 11, True),
        (10_000, None, 5904, 32_000, False),  # 4096 are left
        (10_000, None, 5905, 32_000, True),
        (None, 2000, 10, 2000, False),
        (None, 2000, 10, 2001, True),
        (None, 4096, 10, 32_000, False),
    ],
)
def test_a_model_with_little_room_is_tight(
    context: int | None, longest: int | None, prompt: int, asked: int, tight: bool
) -> None:
    """In its context or in its longest answer."""
    assert is_tight(sizes(context, longest), Needs(input_tokens=prompt, output_tokens=asked)) is tight


@pytest.mark.parametrize(
    ("context", "longest", "prompt", "asked", "most"),
    [
        (None, None, 10, 10, None),
        (None, 500, 10, 1000, 500),
        (1000, None, 400, 600, None),  # it fits by the estimate
        (1000, None, 400, 601, 500),  # a quarter more for the prompt
        (1000, 300, 400, 601, 300),
        (1000, None, 900, 601, 256),
        (100, None, 900, 601, 100),  # never more than the context
    ],
)
def test_what_is_left_of_max_tokens(
    context: int | None, longest: int | None, prompt: int, asked: int, most: int | None
) -> None:
    """A value that fits is left alone; one that does not leaves room for the error of the estimate."""
    assert most_output(sizes(context, longest), Needs(input_tokens=prompt, output_tokens=asked)) == most
