"""`.env` files and `${VAR}`: what is read, and what is refused."""

from __future__ import annotations

import pytest

from gateway.config.environment import Unfilled, fill, parse_dotenv


@pytest.mark.parametrize(
    "line, expected",
    [
        ("A=1", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("  A = 1  ", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=a=b", {"A": "a=b"}),
        ("A=a#b", {"A": "a#b"}),
        ("A=a # comment", {"A": "a"}),
        ("A= # comment", {"A": ""}),
        ("A='a # b' # comment", {"A": "a # b"}),
        ('A="a # b"', {"A": "a # b"}),
        (r'A="a\nb\"\\"', {"A": 'a\nb"\\'}),
        (r"A='a\n'", {"A": r"a\n"}),
        ("A=$B ${C}", {"A": "$B ${C}"}),  # nothing is substituted
        ("A=1\r\nB=2", {"A": "1", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("A=1\nA=2", {"A": "2"}),
        ("# A=1\n\n", {}),
    ],
)
def test_dotenv(line: str, expected: dict[str, str]) -> None:
    """A `.env` line is KEY=VALUE, with optional `export`, quotes and comment."""
    assert parse_dotenv(line) == (expected, [])


@pytest.mark.parametrize("line", ["A", "1A=1", "A B=1", "A='1", 'A="1', "A='1' 2", "=1"])
def test_dotenv_mistakes(line: str) -> None:
    """What is no such line is named by its number, and its value is not shown."""
    found, wrong = parse_dotenv(f"OK=1\n{line}")
    assert (found, [number for number, _ in wrong]) == ({"OK": "1"}, [2])


ENVIRON = {"SET": "value", "EMPTY": "", "TRICKY": "${SET} $$ : #"}


@pytest.mark.parametrize(
    "text, expected, named",
    [
        ("${SET}", "value", ("SET",)),
        ("a${SET}b${SET}", "avaluebvalue", ("SET", "SET")),
        ("${SET:-other}", "value", ("SET",)),
        ("${EMPTY}", "", ("EMPTY",)),
        ("${EMPTY:-other}", "other", ("EMPTY",)),
        ("${UNSET:-}", "", ("UNSET",)),
        ("${UNSET:-a:b-c?d}", "a:b-c?d", ("UNSET",)),
        ("${SET:?needed}", "value", ("SET",)),
        ("$$", "$", ()),
        ("$${SET}", "${SET}", ()),
        ("$SET", "$SET", ()),
        ("5$", "5$", ()),
        ("${TRICKY}", "${SET} $$ : #", ("TRICKY",)),  # a value is not read again
    ],
)
def test_filling(text: str, expected: str, named: tuple[str, ...]) -> None:
    """References are replaced once, as Docker Compose does."""
    assert fill(text, ENVIRON) == (expected, named)


@pytest.mark.parametrize(
    "text, message",
    [
        ("${UNSET}", "UNSET is not set; set it, or write ${UNSET:-default}"),
        ("${UNSET:?get one at example.com}", "UNSET is not set: get one at example.com"),
        ("${EMPTY:?}", "EMPTY is not set: it is required"),
        ("${SET", "not a reference"),
        ("${}", "not a reference"),
        ("${A-B}", "not a reference"),
        ("${UNSET:-${SET}}", "not a reference"),  # nothing is nested
    ],
)
def test_what_cannot_be_filled(text: str, message: str) -> None:
    """An unset variable and an unknown notation are mistakes that name the remedy."""
    with pytest.raises(Unfilled) as error:
        fill(text, ENVIRON)
    assert str(error.value).startswith(message)
