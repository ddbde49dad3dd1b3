"""Imports point down only, and each library is known to one part of the house."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]

# From the ground up. A module may import what stands on an earlier line, never its own neighbours.
STOREYS = """
    types
    errors
    kinds
    core
    dialects
    catalog
    config
    upstream stores metrics tracing
    control
    proxy
    background
    web
    server
    app
    cli
    __main__
"""
HEIGHT = {"": -1} | {part: height for height, line in enumerate(STOREYS.split("\n")) for part in line.split()}

# The library, and the modules that may name it.
OWNERS = {
    "pydantic": ("gateway.config", "gateway.web.admin"),
    "httpx": ("gateway.upstream", "gateway.background"),
    "prometheus_client": ("gateway.metrics",),
    "opentelemetry": ("gateway.tracing",),
    "sqlite3": ("gateway.stores",),
    "redis": ("gateway.stores",),
    "psycopg": ("gateway.stores",),
    "genai_prices": ("gateway.catalog.prices",),
    "click": ("gateway.cli", "gateway.__main__"),
    "rich": ("gateway.cli", "gateway.__main__"),
}

PURE = ("gateway.types", "gateway.errors", "gateway.kinds", "gateway.core", "gateway.dialects")
IMPURE = {"asyncio", "httpx", "logging", "os", "random", "secrets", "socket", "threading", "time"}
# A type to annotate with; the generator itself is an argument.
PURE_ENOUGH = {"random.Random"}

NOT_A_NAME = {"utils", "helpers", "manager", "service", "base"}

MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted((ROOT / "gateway").rglob("*.py"))
}
PARTS = {module.split(".")[1] for module in MODULES if "." in module}


def imports(module: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the full dotted name of everything `module` imports, also for type checking only."""
    file = MODULES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (above, node.module)))
            yield from ((node.lineno, f"{origin}.{name.name}") for name in node.names)


def part_of(name: str) -> str:
    """Return the part of the house a dotted name belongs to; "" is the package itself (`__version__`)."""
    return next((part for part in name.split(".")[1:2] if part in PARTS), "")


def module_of(name: str) -> str:
    """Return the module that a dotted name belongs to; "" for a library."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def circle(graph: Mapping[str, set[str]]) -> str:
    """Return a circle of imports, as the modules in it; "" if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return " imports ".join(reversed(found))
    return ""


def within(name: str, owners: tuple[str, ...]) -> bool:
    return any(name == owner or name.startswith(f"{owner}.") for owner in owners)


def where(module: str, line: int) -> str:
    return f"{MODULES[module].relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down_only(module: str) -> None:
    here = part_of(module)
    assert here in HEIGHT, f"gateway.{here} has no storey: give it one in {Path(__file__).name}"
    for line, name in imports(module):
        there = part_of(name)
        if name.split(".")[0] != "gateway" or there == here:
            continue
        assert HEIGHT.get(there, 99) < HEIGHT[here], (
            f"{where(module, line)}: gateway.{here} may not import {name}; imports point down only:{STOREYS}"
        )


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports for type checking only and imports inside a function count too: either says what a module knows."""
    graph = {module: {module_of(name) for _, name in imports(module)} - {module, ""} for module in MODULES}
    assert not (found := circle(graph)), f"{found}: let one of them be given what it imports"


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == ""
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) in {
        "a imports b imports c imports a",
        "b imports c imports a imports b",
        "c imports a imports b imports c",
    }


@pytest.mark.parametrize("module", MODULES)
def test_each_library_has_one_owner(module: str) -> None:
    for line, name in imports(module):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or within(module, owners), (
            f"{where(module, line)}: {name} belongs to {' and '.join(owners or ())}"
        )
        assert not name.endswith("BaseHTTPMiddleware"), (
            f"{where(module, line)}: BaseHTTPMiddleware hides http.disconnect and costs a task per request"
        )


@pytest.mark.parametrize("module", [module for module in MODULES if within(module, PURE)])
def test_decisions_are_pure(module: str) -> None:
    for line, name in imports(module):
        assert name in PURE_ENOUGH or name.split(".")[0] not in IMPURE, (
            f"{where(module, line)}: {module} decides and does no I/O; {name} must come in as an argument"
        )


def test_names_say_what_a_module_is() -> None:
    vague = [module for module in MODULES if module.rpartition(".")[2] in NOT_A_NAME]
    assert not vague, f"{', '.join(vague)}: say what it decides or does"
