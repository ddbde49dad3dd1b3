"""What is known of a kind of provider stands in its row and nowhere else, so a new kind is one more row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gateway.dialects.endpoints import ENDPOINTS
from gateway.kinds import BUILT_IN, KINDS, OTHER, kind_named, kind_of
from gateway.types import Params, Provider
from tests.cli.command import gateway_async
from tests.faults import FaultyUpstream, json_answer

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gateway"
DOC = ROOT / "docs" / "providers.md"
MARK = "<!-- made by tests/test_kinds.py -->\n"

# Modules where the name of a kind means something else, and what it means there.
OTHER_MEANINGS = {
    "control/snippets.py": "clients",
    "catalog/closed.py": "families of models",
    "catalog/open_weights.py": "families of models",
    "catalog/prices.py": "providers as genai-prices calls them",
    "core/slips.py": "publishers: the first segments of model ids",
    "upstream/detect.py": "what a local server was recognised as",
}
# Rooms of the same sort.
OTHER_WORDS = ("kinds/", "config/imports/")  # of their own rows; of other programs' configurations


def test_no_other_module_names_a_kind() -> None:
    """No comparison with a kind's name, and no table by such names, stands outside of the rows."""
    named = [
        f"gateway/{where}:{one.lineno} names kind {one.value!r}: read a field of its row"
        for file in sorted(PACKAGE.rglob("*.py"))
        if not (where := file.relative_to(PACKAGE).as_posix()).startswith(OTHER_WORDS) and where not in OTHER_MEANINGS
        for one in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file)))
        if isinstance(one, ast.Constant) and one.value in KINDS
    ]
    assert not named, "\n".join(named)


def test_rows() -> None:
    """A kind has one row, says where its key is from, and leaves out a base URL only where each owner has another."""
    known = {one.name for one in ENDPOINTS} | {"messages"}
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.speaks
        assert set(kind.speaks) <= known
        assert kind.base_url or name in ("azure", OTHER)
        assert ("{endpoint_id}" in kind.base_url) == bool(kind.endpoint_id_from)
        assert kind.key_vars or not kind.key_required
        assert kind.usual is None or (kind.usual.strong and kind.usual.fast)
    assert [name for name, kind in KINDS.items() if kind.built_in] == [BUILT_IN]


def test_a_kind_without_a_row() -> None:
    """It is taken for any OpenAI-compatible endpoint."""
    assert kind_named("") is kind_named("unheard-of") is kind_of(Provider("p", "x", "http://x/v1")) is KINDS[OTHER]
    assert kind_of(Provider("p", "groq", "http://x/v1")) is KINDS["groq"]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.built_in])
def test_the_documentation_says_where_a_kind_is(name: str) -> None:
    (line,) = re.findall(rf"^\| `{name}` \| .*(?:http|yours).*$", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(f"`{said}" in line for said in (KINDS[name].base_url, *KINDS[name].key_vars) if said)


def test_the_documentation_says_what_a_kind_speaks() -> None:
    """It cannot go stale: this test makes the table."""
    by_dialects: dict[tuple[str, ...], list[str]] = {}
    for kind in KINDS.values():
        if not kind.built_in:
            by_dialects.setdefault(kind.speaks, []).append(kind.name)
    rows = [
        " | ".join(", ".join(f"`{one}`" for one in cell) for cell in (kinds, dialects))
        for dialects, kinds in sorted(by_dialects.items(), key=lambda one: (-len(one[0]), one[0]))
    ]
    table = "\n".join(("| Kind | Dialects |", "|---|---|", *(f"| {row} |" for row in rows)))
    _, mark, rest = DOC.read_text(encoding="utf-8").partition(MARK)
    assert mark, f"{DOC} has lost its mark"
    assert rest.startswith(table + "\n"), f"the table should be:\n{table}"


def test_the_documentation_lists_the_quirks() -> None:
    """It cannot go stale: this test makes the table."""
    rows = [
        f"| `{kind.name}` | `{dialect}` | {_shown(quirks)} |"
        for kind in KINDS.values()
        for dialect, quirks in kind.quirks.items()
    ]
    table = "\n".join(("| Kind | Dialect | Repairs |", "|---|---|---|", *rows))
    _, mark, rest = DOC.read_text(encoding="utf-8").partition("<!-- quirks: made by tests/test_kinds.py -->\n")
    assert mark, f"{DOC} has lost its mark"
    assert rest.startswith(table + "\n\n"), f"the table should be:\n{table}"


def _shown(quirks: Params) -> str:
    shown = [f"drop {', '.join(f'`{name}`' for name in sorted(quirks.drops))}"] if quirks.drops else []
    shown += [f"rename `{name}` to `{new}`" for name, new in quirks.renames.items()]
    shown += [f"clamp `{name}` to {bounds.least} … {bounds.most}" for name, bounds in quirks.clamps.items()]
    return "; ".join(shown)


def test_quirks_only_adapt() -> None:
    """They set no value, and leave what the gateway reads for its own decisions."""
    for kind in KINDS.values():
        for quirks in kind.quirks.values():
            assert quirks.adapts
            assert not quirks.defaults
            assert not quirks.forced
            touched = {*quirks.drops, *quirks.renames, *quirks.renames.values(), *quirks.clamps}
            assert not touched & {"model", "messages", "input", "stream"}


def with_row(row: str, into: Path) -> Path:
    """Return where to import the package from with one row more; all its other files are those of the package."""
    rows = (PACKAGE / "kinds" / "rows.py").read_text(encoding="utf-8")
    changed = rows.replace("ROWS = (\n", f"ROWS = (\n    {row},\n")
    assert changed.count("\n") == rows.count("\n") + 1
    for folder in (PACKAGE, PACKAGE / "kinds"):
        made = into / folder.relative_to(ROOT)
        made.mkdir()
        for file in folder.iterdir():
            if file.name not in ("kinds", "rows.py", "__pycache__"):
                (made / file.name).symlink_to(file)
    (into / "gateway" / "kinds" / "rows.py").write_text(changed, encoding="utf-8")
    return into


async def test_a_new_kind_is_one_row(tmp_path: Path) -> None:
    """With its row and nothing else it can be configured, its URL and key are known, and its models are listed."""
    here, source = tmp_path / "here", tmp_path / "source"
    here.mkdir()
    source.mkdir()
    (here / "gateway.yaml").write_text("providers: {shop: {kind: toy}}\n", encoding="utf-8")
    listed = {"object": "list", "data": [{"id": "bear-1"}, {"id": "bear-1-mini", "context_window": 4096}]}
    async with FaultyUpstream(lambda _: json_answer(listed)) as upstream:
        row = f'Kind("toy", "{upstream.base_url}", ("TOY_API_KEY",), speaks=("chat", "messages"))'
        env = {"PYTHONPATH": str(with_row(row, source)), "GATEWAY_PORT": "9"}

        checked = (await gateway_async("check", "--json", cwd=here, env=env)).json
        assert checked["providers"] == [{"name": "shop", "kind": "toy", "unusable": "no key; set TOY_API_KEY"}]

        env["TOY_API_KEY"] = "plush"
        found = (await gateway_async("models", "--online", "--discovered", "--json", cwd=here, env=env)).json
        assert [one["upstreams"] for one in found["discovered"]] == [["shop/bear-1"], ["shop/bear-1-mini"]]
        assert [one.target for one in upstream.requests] == ["/v1/models"]
        assert upstream.requests[0].headers["authorization"] == "Bearer plush"

        explained = (await gateway_async("explain", "shop/bear-1", "--json", cwd=here, env=env)).json
        assert [(one["kind"], one["speaks"]) for one in explained["candidates"]] == [("toy", ["chat", "messages"])]
