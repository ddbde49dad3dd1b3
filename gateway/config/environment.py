"""Read `.env` and fill `${VAR}` into values. Rule: a real environment variable is never overridden."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}

_REFERENCE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([^{}]*))?\}|\$\{[^}]*\}?")


def parse_dotenv(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Read KEY=VALUE lines; also return (line number, message) for each malformed line.

    Values are bare (a comment begins at ` #`), in single quotes (nothing is special) or in double quotes (with the
    escapes `\\n`, `\\t`, `\\"`, `\\\\`). Nothing is substituted, and no value spans lines.
    """
    found: dict[str, str] = {}
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not (parts := _LINE.fullmatch(stripped)):
            wrong.append((number, "not a KEY=VALUE line"))
            continue
        name, raw = parts.groups()
        if raw[:1] in ('"', "'"):
            quoted = (_DOUBLE if raw[0] == '"' else _SINGLE).fullmatch(raw)
            if not quoted:
                wrong.append((number, f"the quotes of {name} do not match"))
                continue
            found[name] = quoted[1] if raw[0] == "'" else re.sub(r"\\(.)", _unescaped, quoted[1])
        else:
            found[name] = re.split(r"(?:^|\s)#", raw, maxsplit=1)[0].strip()
    return found, wrong


def _unescaped(escape: re.Match[str]) -> str:
    return _ESCAPES.get(escape[1], escape[1])


class Unfilled(ValueError):
    """A reference without a value; the message names the variable and the remedy."""


def fill(text: str, environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Replace `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$`; also return the names of the variables.

    As in Docker Compose, the default and the message also apply when the variable is set but empty.

    Raises:
        Unfilled: a variable without a default is not set, or the notation is not one of these.
    """
    named: list[str] = []

    def value(reference: re.Match[str]) -> str:
        if reference[0] == "$$":
            return "$"
        name, operator, rest = reference.groups()
        if name is None:
            raise Unfilled("not a reference; write ${VAR}, ${VAR:-default}, ${VAR:?message}, or $$ for a dollar sign")
        named.append(name)
        if operator and not environ.get(name):
            if operator == ":?":
                raise Unfilled(f"{name} is not set: {rest or 'it is required'}")
            return str(rest)
        if name not in environ:
            raise Unfilled(f"{name} is not set; set it, or write ${{{name}:-default}}")
        return environ[name]

    return _REFERENCE.sub(value, text), tuple(named)
