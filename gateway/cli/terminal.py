"""Print for people and for programs. Only a terminal gets colours and frames, and NO_COLOR turns them off."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

GAP = "  "


# The address at which to ask a gateway that listens on all addresses.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def reachable(host: str) -> str:
    """Return the address at which this machine reaches a gateway that listens on `host`."""
    return _EVERYWHERE.get(host, host)


class Mistake(click.ClickException):
    """Something that the user can fix. The message is shown as it is, one line for each problem."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))

    def show(self, file: object = None) -> None:  # noqa: ARG002  # the signature of click
        for line in self.message.split("\n"):
            click.echo(line, err=True)


class Unusable(Mistake):
    """A configuration with which the gateway cannot start."""

    exit_code = 2


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


# Routes and models are named by clients. Sums of money begin with a digit, or with a minus of our own.
_FORMULA = frozenset("=+@\t\r")


def print_csv(head: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Print CSV. A text that a spreadsheet would take for a formula is kept from it by an apostrophe."""
    import csv
    from io import StringIO

    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([f"'{one}" if isinstance(one, str) and one[:1] in _FORMULA else one for one in row])
    click.echo(text.getvalue(), nl=False)


def good(text: str) -> str:
    return click.style(text, fg="green")


def bad(text: str) -> str:
    return click.style(text, fg="red", bold=True)


def careful(text: str) -> str:
    return click.style(text, fg="yellow")


def bold(text: str) -> str:
    return click.style(text, bold=True)


def dim(text: str) -> str:
    return click.style(text, dim=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: framed on a terminal, else in aligned columns that `awk` and `grep` can read."""
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        _print_framed(head, rows)
        return
    for line in columns([head, *rows]):
        click.echo(line)


def columns(rows: Sequence[Sequence[str]], gap: str = GAP) -> list[str]:
    """Return the rows as lines of aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _print_framed(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: a model id may look like markup
    Console().print(table)


def seconds(value: float) -> str:
    """Return a duration for people: `12 ms`, `1.3 s`."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def count(number: int, thing: str, things: str = "") -> str:
    """Return `1 model`, `2 models`."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"


def place(base_url: str) -> str:
    """Return a base URL for people."""
    return "built in" if base_url == "demo:" else base_url


def ago(seconds: float) -> str:
    """Return a duration in its two largest units: `3 d 4 h`, `12 min 5 s`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])
