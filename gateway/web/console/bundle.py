"""Join the console's modules into one script, so that the first page takes few requests and nothing is built by hand.

Rule: this is no parser. It reads the two forms of `import` and the two of `export` that the sources and the vendored
files have, and raises on any other. Each module becomes a function that returns its exports, in the order in which they
need each other; nothing inside a module is rewritten.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.resources.abc import Traversable

VENDORED: Mapping[str, str] = {
    "preact": "preact.js",
    "preact/hooks": "hooks.js",
    "@preact/signals-core": "signals-core.js",
    "@preact/signals": "signals.js",
    "htm": "htm.js",
    "uplot": "uplot.js",
}
"""What sources import by a name, and its file in vendor/."""
ENTRY = "app.js"

_IMPORT = re.compile(r'(?:(?<=[;\n])|\A)\s*import\s*(?:\{([^}]*)\}|([A-Za-z_$][\w$]*))\s*from\s*"([^"]+)";')
_PASSED_ON = re.compile(r'(?:(?<=[;\n])|\A)\s*export\s*\{([^}]*)\}\s*from\s*"([^"]+)";')
_LISTED = re.compile(r"export\s*\{([^}]*)\};?\s*\Z")
_NAMED = re.compile(r"^export ((?:async )?function\*?|const|class) ([A-Za-z_$][\w$]*)", re.MULTILINE)
_DEFAULT = re.compile(r"\bexport default function\b")
_LEFT = re.compile(r"^\s*(?:import|export)\b", re.MULTILINE)
_GLOBAL = {"uplot": "uPlot"}
"""Scripts that set a variable rather than export."""


class Unjoinable(Exception):
    """A module has a form of import or export that this does not read."""


def script() -> str:
    """Return the whole console as one script."""
    root = files("gateway.web.console")
    return joined(ENTRY, lambda name: _place(root, name).read_text(encoding="utf-8"))


def _place(root: Traversable, name: str) -> Traversable:
    return root / "vendor" / VENDORED[name] if name in VENDORED else root.joinpath("src", *name.split("/"))


def joined(entry: str, read: Callable[[str], str]) -> str:
    """Return a module and all that it needs as one script.

    Raises:
        Unjoinable: two modules need each other, or one has another form of import or export.
    """
    order: dict[str, str] = {}
    waiting: list[str] = []

    def take(name: str) -> None:
        if name in order:
            return
        if name in waiting:
            raise Unjoinable(f"{' needs '.join([*waiting, name])}: let one of them be given what it imports")
        waiting.append(name)
        text, needed = _as_function(name, read(name))
        for one in needed:
            take(one)
        waiting.pop()
        order[name] = text

    take(entry)
    numbers = {name: number for number, name in enumerate(order)}
    parts = [
        f"// {name}\nconst $m{numbers[name]} = (() => {{\n{_numbered(text, numbers)}\n}})();"
        for name, text in order.items()
    ]
    return '"use strict";\n' + "\n".join(parts) + "\n"


def _numbered(text: str, numbers: Mapping[str, int]) -> str:
    return re.sub(r"\$from\(\"([^\"]+)\"\)", lambda found: f"$m{numbers[found[1]]}", text)


def _as_function(name: str, text: str) -> tuple[str, list[str]]:
    """Return the body of a module's function, and the modules it needs."""
    needed: list[str] = []
    exports: list[str] = []

    def imported(found: re.Match[str]) -> str:
        source = _resolved(name, found[3])
        needed.append(source)
        wanted = _pairs(found[1], ": ") if found[1] is not None else f"default: {found[2]}"
        return f'\nconst {{ {wanted} }} = $from("{source}");'

    def passed_on(found: re.Match[str]) -> str:
        source = _resolved(name, found[2])
        needed.append(source)
        exports.extend(f'get {as_}() {{ return $from("{source}").{of}; }}' for of, as_ in _names(found[1]))
        return "\n"

    def named(found: re.Match[str]) -> str:
        exports.append(found[2])
        return f"{found[1]} {found[2]}"

    text = _PASSED_ON.sub(passed_on, _IMPORT.sub(imported, text))
    if listed := _LISTED.search(text):
        exports.extend(f"{as_}: {of}" for of, as_ in _names(listed[1]))
        text = text[: listed.start()]
    if _DEFAULT.search(text):
        exports.append("default: $default")
        text = _DEFAULT.sub("const $default = function", text)
    text = _NAMED.sub(named, text)
    if name in _GLOBAL:
        exports.append(f"default: {_GLOBAL[name]}")
    if left := _LEFT.search(text):
        raise Unjoinable(f"{name}: {text[left.start() : left.start() + 80].strip()!r} is not a form that is read here")
    return f"{text}\nreturn {{ {', '.join(exports)} }};", needed


def _names(said: str) -> list[tuple[str, str]]:
    pairs = [one.split(" as ") for one in said.split(",") if one.strip()]
    return [(one[0].strip(), one[-1].strip()) for one in pairs]


def _pairs(said: str, between: str) -> str:
    return ", ".join(of if of == as_ else f"{of}{between}{as_}" for of, as_ in _names(said))


def _resolved(name: str, source: str) -> str:
    """Return the name of a module that another one names: its path below src/, or a vendored name."""
    if not source.startswith("."):
        if source not in VENDORED:
            raise Unjoinable(f"{name} imports {source!r}, which is not vendored")
        return source
    folder = name.split("/")[:-1]
    for part in source.split("/"):
        if part == "..":
            folder.pop()
        elif part != ".":
            folder.append(part)
    return "/".join(folder)
