"""Run the checks of a client and print a line for each. No client is imported here.

A program is started with the URL of a server and with `surface@model` for each run of a surface, for example
`chat@on-chat`. A surface is a class that is made with a URL and a model; each public method is a check.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY = os.environ.get("GATEWAY_KEY", "no key")
PATIENCE_S = 20.0

HELLO = "Hello there, dear client."
ADA = {"name": "Ada Lovelace", "born": 1815}
INPUT_TOKENS, OUTPUT_TOKENS = 11, 7
RETRY_AFTER_S = "17"

SAY_HELLO = "Say hello."
WEATHER = "What is the weather in Oslo and in Lima?"
WHO = "Who was Ada? Answer as you are told."
LOOK = "What is in the picture?"
TOO_OFTEN, TOO_LONG, BREAK_OFF = "I ask too often.", "I ask too long a question.", "Please break off."

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SEEN = f"I see: image/png, {len(PNG)} bytes"

WEATHER_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ADA_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "born": {"type": "integer"}},
    "required": ["name", "born"],
    "additionalProperties": False,
}


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"{ {'Oslo': 4, 'Lima': 19}[city] } degrees in {city}"


def same(found: object, wanted: object) -> None:
    """Require that two values are equal."""
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")


def measured(text: str) -> None:
    """Require that the results of both calls came back."""
    for city in ("Oslo", "Lima"):
        if weather(city) not in text:
            raise AssertionError(f"no weather of {city} in {text!r}")


def raises(kind: type[BaseException] | tuple[type[BaseException], ...], act: Callable[[], object]) -> BaseException:
    """Return the error that an act must raise."""
    try:
        found = act()
    except kind as error:
        return error
    raise AssertionError(f"no {kind} but {found!r}")


def checks_of(surface: type) -> list[str]:
    """Return the checks of a surface, those that it inherits first."""
    names = {name: None for kind in reversed(surface.__mro__[:-1]) for name in vars(kind)}
    return [name for name in names if not name.startswith("_")]


def main(version: str, surfaces: Mapping[str, Callable[[str, str], object]]) -> None:
    """Run the surfaces that the command line names."""
    url, *runs = sys.argv[1:]
    print(json.dumps({"version": version}), flush=True)
    for run in runs:
        surface, _, model = run.partition("@")
        checks = surfaces[surface](url, model)
        for name in checks_of(type(checks)):
            error = None
            try:
                getattr(checks, name)()
            except Exception as caught:  # whatever a client raises is a result
                where = traceback.extract_tb(caught.__traceback__)
                own = [frame.lineno for frame in where if frame.filename == sys.argv[0]]
                error = f"{type(caught).__name__} at line {own[-1:]}: {caught}"[:2000]
            print(json.dumps({"run": run, "check": name, "error": error}), flush=True)
