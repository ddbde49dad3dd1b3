"""One script out of many modules: in the order of their needs, with the vendored files as they were published."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

import gateway.web.console
from gateway.web.console.bundle import VENDORED, Unjoinable, joined, script

CONSOLE = Path(gateway.web.console.__file__).parent
TESTED_WITH = Path(__file__).parents[2] / "browser"


def join(**modules: str) -> str:
    return joined("app.js", {f"{name}.js": text for name, text in modules.items()}.__getitem__)


@pytest.mark.parametrize("folder", [CONSOLE / "vendor", TESTED_WITH / "vendor"])
def test_vendored_files_are_as_published(folder: Path) -> None:
    rows = [line.split() for line in (folder / "VERSIONS").read_text().splitlines() if not line.startswith("#")]
    for file, *_, digest in rows:
        assert sha256((folder / file).read_bytes()).hexdigest() == digest, file
    scripts = {one.name for one in folder.iterdir() if one.suffix in (".js", ".css")}
    assert scripts == {row[0] for row in rows}
    for package in {row[1] for row in rows}:
        licence = folder / f"{package.removeprefix('@').replace('/', '-')}.LICENSE"
        assert "icen" in licence.read_text()[:400], package


def test_every_vendored_name_has_a_file() -> None:
    assert all((CONSOLE / "vendor" / file).is_file() for file in VENDORED.values())


def test_a_module_comes_after_those_it_needs_and_once() -> None:
    said = join(
        app='import { one } from "./one.js";\nimport { two as second } from "./two.js";\none(second);\n',
        one='import { two } from "./two.js";\nexport function one() { return two; }\n',
        two="export const two = 2;\n",
    )
    assert said.count("const two = 2") == 1
    assert said.index("// two.js") < said.index("// one.js") < said.index("// app.js")
    assert "const { two: second } = $m0;" in said
    assert "return { one };" in said


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ('import * as all from "./one.js";', "not a form"),
        ("export default 3;", "not a form"),
        ('import { h } from "react";', "not vendored"),
        ('import { a } from "./app.js";', "app.js needs app.js"),
    ],
)
def test_what_it_does_not_read_is_an_error(app: str, said: str) -> None:
    """It never guesses: a script that is half joined would fail in somebody's browser."""
    with pytest.raises(Unjoinable, match=said):
        join(app=app, one="")


def test_every_source_is_reached() -> None:
    """A page that nobody imports is a page that nobody can open."""
    whole = script()
    for file in (CONSOLE / "src").rglob("*.js"):
        assert f"// {file.relative_to(CONSOLE / 'src').as_posix()}\n" in whole


def test_text_is_never_read_as_html() -> None:
    for file in (CONSOLE / "src").rglob("*.js"):
        text = file.read_text()
        for word in (
            "innerHTML",
            "dangerouslySetInnerHTML",
            "insertAdjacentHTML",
            "eval(",
            "localStorage",
            "sessionStorage",
        ):
            assert word not in text, (file.name, word)
