"""Changes as the desk takes them: checked, told as a diff, stored, and lost by nobody."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.config import load, overlay, zero
from gateway.config.edits import Edit
from gateway.config.settings import ZERO
from gateway.control.desk import ANY, Change, Desk
from gateway.control.export import exported
from gateway.control.ground import grounds_of
from gateway.control.refusals import Invalid, Unstored, VersionMismatch, VersionMissing, WouldBreak
from gateway.core.names import resolve
from gateway.stores.overlay import Line, OverlayStore
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config
    from gateway.errors import Refusal

FILE = """\
providers:
  a: {kind: vllm, base_url: "http://a.test/v1"}
  b: {kind: openai, base_url: "http://b.test/v1", api_key: "sk-literal-of-the-file"}
models: {main: a/x, other: b/y}
roles: {rlm: {models: [main, other]}, only: other}
"""
SENTINEL = "sk-sentinel-0123456789abcdef"


class Project:
    """A configuration with its desk."""

    def __init__(self, folder: Path, text: str = FILE) -> None:
        self.file = folder / "gateway.yaml"
        self.file.write_text(text)
        self.environ = {"GATEWAY_STATE_DIR": str(folder / "state")}
        self.store = OverlayStore(self.environ, str(self.file))
        self.desk = Desk(grounds_of(str(self.file), self.environ), self.store, now=lambda: 7.0)

    def change(self, *edits: Edit, expected: str | None = ANY, dry_run: bool = False) -> Change:
        return self.desk.change(lambda _: edits, by="me", via="api", expected=expected, dry_run=dry_run)

    def load(self) -> Config:
        return load(self.file, self.environ)

    def everything(self) -> str:
        """Return all that is ever shown of it."""
        view = self.desk.look()
        lines = [msgspec.json.encode(one).decode() for one in self.desk.history(99)]
        overlay_ = self.store.file.read_text() if self.store.file.exists() else ""
        return "\n".join([exported(view), overlay_, *lines, *self.load().warnings])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_change_counts_after_the_next_load(project: Project) -> None:
    before = project.desk.look()
    done = project.change(Edit(("models", "fast"), "a/z"), expected=before.version)
    assert (done.stored, done.breaks, done.problems) == (True, (), ())
    assert done.version == project.desk.look().version != before.version
    assert "+  fast: a/z\n" in done.diff
    assert resolve("fast", project.load().directory).candidates[0].upstream.id == "a/z"


def test_dry_run_changes_nothing(project: Project) -> None:
    """It says what would change and break, and what is wrong, as long as the version is right."""
    version = project.desk.look().version
    done = project.change(Edit(("providers", "b", "enabled"), False), expected=version, dry_run=True)
    assert (done.stored, done.version) == (False, version)
    assert "+    enabled: false\n" in done.diff
    assert "other has no upstream: disabled" in done.breaks
    assert "role:only has no upstream: disabled" in done.breaks
    done = project.change(Edit(("models", "fast"), {"model": "a/x", "contxt": 1}), dry_run=True)
    assert [str(one) for one in done.problems] == ['models.fast.contxt: unknown key "contxt"; did you mean "context"?']
    assert not project.store.file.parent.exists()


REFUSED: list[tuple[list[Edit], type[Refusal], str, str]] = [
    ([Edit(("models", "fast"), {"model": "a/x", "contxt": 1})], Invalid, "models.fast.contxt", 'mean "context"'),
    ([Edit(("models", "fast"), "gone")], Invalid, "models.fast", 'unknown model or alias "gone"'),
    ([Edit(("models", "other"))], WouldBreak, "roles.rlm.models.1", 'unknown model or alias "other"'),
    ([Edit(("providers", "b"))], WouldBreak, "models.other", 'no provider "b" is configured'),
    ([Edit(("server", "port"), 1)], Invalid, "server.port", "change gateway.yaml"),
    ([Edit((), {"models": {}})], Invalid, "", "cannot be changed at run time"),
    ([Edit(("providers", "a", "api_key"), "***")], Invalid, "providers.a.api_key", "is the mask of a secret"),
    ([Edit(("budgets",), [{"scope": "total", "limit_usd": "much"}])], Invalid, "budgets.0.limit_usd", "not an amount"),
    ([Edit(("models", "fast"), "a/${GONE}")], Invalid, "", "GONE is not set"),
]  # fmt: skip


@pytest.mark.parametrize(("wishes", "kind", "param", "message"), REFUSED)
def test_what_is_refused(project: Project, wishes: list[Edit], kind: type[Refusal], param: str, message: str) -> None:
    """The refusal names the field, and nothing is stored."""
    with pytest.raises(kind, match=message.replace("(", r"\(")) as refused:
        project.change(*wishes)
    assert (refused.value.param or "") == param
    assert not project.store.file.exists()


def test_versions(project: Project) -> None:
    """A change must be made for the present version; an edit of the file is another version too."""
    edit = Edit(("models", "fast"), "a/z")
    version = project.desk.look().version
    with pytest.raises(VersionMissing, match=version):
        project.change(edit, expected=None)
    project.change(edit, expected=version)
    with pytest.raises(VersionMismatch, match="has changed since"):
        project.change(Edit(("models", "new"), "a/z"), expected=version)
    version = project.desk.look().version
    project.file.write_text(FILE + "cache: {ttl: 1m}\n")
    with pytest.raises(VersionMismatch):
        project.change(edit, expected=version, dry_run=True)


def test_two_editors_lose_nothing(project: Project) -> None:
    """Of many who read, change and try again, each has its change in the end."""

    def edit(name: str) -> None:
        while True:
            try:
                project.change(Edit(("models", name), "a/z"), expected=project.desk.look().version)
            except VersionMismatch:
                continue
            return

    names = [f"n{number}" for number in range(6)]
    threads = [threading.Thread(target=edit, args=[name]) for name in names]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert set(names) < set(project.desk.look().merged["models"])
    assert len(project.desk.history(99)) == len(names)


def test_secrets_are_never_shown(project: Project) -> None:
    """Neither one that is set at run time, nor a literal one of the file."""
    done = project.change(Edit(("providers", "a", "api_key"), SENTINEL))
    project.change(Edit(("providers", "a", "headers"), {"x-token": SENTINEL}))
    project.change(Edit(("budgets",), [{"scope": "total", "limit_usd": 1, "webhook": f"http://h.test/{SENTINEL}"}]))
    headers = dict(project.load().directory.providers["a"].headers)
    assert headers == {b"authorization": b"Bearer " + SENTINEL.encode(), b"x-token": SENTINEL.encode()}
    shown = project.everything() + done.diff + repr(done) + repr(project.desk.look())
    assert SENTINEL not in shown
    assert "sk-literal-of-the-file" not in project.everything() + done.diff
    holding = [one.name for one in project.store.file.parent.iterdir() if SENTINEL in one.read_text()]
    assert holding == ["secrets.env"]
    for path in ("providers", "budgets"):
        project.change(Edit((path,), reverts=True))
    assert not any(SENTINEL in one.read_text() for one in project.store.file.parent.iterdir())


def test_a_change_of_one_keeps_the_secrets_of_others(project: Project) -> None:
    project.change(Edit(("providers", "a", "api_key"), SENTINEL))
    project.change(Edit(("models", "fast"), "a/z"))
    assert (b"authorization", b"Bearer " + SENTINEL.encode()) in project.load().directory.providers["a"].headers


class Forgetful(OverlayStore):
    """A store whose disk is full when the history is written."""

    def tell(self, line: Line) -> None:
        raise StoreError("the disk is full")


def test_a_change_without_a_line_in_the_history_does_not_count(project: Project) -> None:
    project.change(Edit(("providers", "a", "api_key"), SENTINEL))
    before = project.desk.look()
    desk = Desk(grounds_of(str(project.file), project.environ), Forgetful(project.environ, str(project.file)))
    with pytest.raises(Unstored, match="the disk is full"):
        desk.change(lambda _: [Edit(("providers", "a", "api_key"), "another")], by="me", via="api", expected=ANY)
    assert project.desk.look() == before
    assert (b"authorization", b"Bearer " + SENTINEL.encode()) in project.load().directory.providers["a"].headers


def test_history(project: Project) -> None:
    """Who, when, what, from and to which version; and that somebody has edited a file."""
    first = project.desk.look().version
    project.change(Edit(("models", "fast"), "a/z"))
    project.change(Edit(("models", "fast"), "a/z"))  # it is so already
    project.store.file.write_text("models: {fast: a/q}\n")
    project.change(Edit(("models", "fast"), reverts=True))
    last, by_hand, change = project.desk.history(9)
    assert (change.at, change.by, change.via, change.before) == (7.0, "me", "api", first)
    assert [(one.path, one.action, one.before, one.after) for one in change.steps] == [
        ("models.fast", "set", None, "a/z")
    ]
    assert (by_hand.via, by_hand.before, last.before) == ("file", change.version, by_hand.version)
    assert (last.steps[0].action, last.steps[0].before, last.version) == (
        "reverted",
        "a/q",
        project.desk.look().version,
    )


def test_an_overlay_with_mistakes_can_be_changed(project: Project) -> None:
    """Mistakes that are there already are nobody's fault now; they are set aside at the start, and can be reverted."""
    project.change(Edit(("models", "fast"), "a/z"))
    project.store.file.write_text("models: {fast: gone/z, bad: {x: 1}}\nroles: {r: {needs: [tool]}}\n")
    assert len(project.load().warnings) >= 2
    done = project.change(Edit(("models", "new"), "a/z"))
    assert done.stored
    assert "new" in project.load().directory.routes
    project.change(
        Edit(("models", "bad"), reverts=True), Edit(("models", "fast"), reverts=True), Edit(("roles",), reverts=True)
    )
    assert not any("overlay" in one for one in project.load().warnings)


def test_an_overlay_that_cannot_be_read(project: Project) -> None:
    """It is refused to be changed, and can be reverted as a whole."""
    project.change(Edit(("models", "fast"), "a/z"))
    project.store.file.write_text("a: [")
    with pytest.raises(Unstored, match=r"overlay\.yaml:2:1: not YAML"):
        project.change(Edit(("models", "new"), "a/z"))
    project.desk.revert_all(by="me", via="api")
    assert project.desk.look().over == {}


def test_what_version_0_1_wrote_is_taken_over(tmp_path: Path, project: Project) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "overlay.yaml").write_text("models: {old: a/z}")
    project.change(Edit(("models", "new"), "a/z"))
    assert project.desk.look().over == {"models": {"old": "a/z", "new": "a/z"}}
    project.desk.revert_all(by="me", via="api")
    assert "old" not in project.load().directory.routes


def test_export(tmp_path: Path, project: Project) -> None:
    """Loaded as the file itself, it is the same, once the variables that it names are set."""
    project.change(Edit(("providers", "a", "api_key"), SENTINEL), Edit(("models", "fast"), "a/z"))
    changed = project.load()
    text = exported(project.desk.look())
    (name,) = overlay.secrets_beside(project.store.file)
    other = tmp_path / "other.yaml"
    other.write_text(text)
    variables = {name: SENTINEL, "PROVIDERS_B_API_KEY": "sk-literal-of-the-file"}
    assert all(one in text.partition("providers:")[0] for one in variables)
    alone = load(other, variables)
    assert alone.directory.providers == changed.directory.providers
    assert alone.directory.routes == changed.directory.routes


def test_without_a_file(tmp_path: Path) -> None:
    """The configuration that the gateway has made up can be changed like any other."""
    environ = {"GATEWAY_STATE_DIR": str(tmp_path), "OPENAI_API_KEY": "k"}
    desk = Desk(grounds_of(ZERO, environ), OverlayStore(environ, ZERO))
    done = desk.change(
        lambda _: [Edit(("roles", "rlm"), {"models": ["openai/gpt-5"]})], by="me", via="api", expected=ANY
    )
    assert done.stored
    value: Any = desk.look().at(("roles", "rlm"))
    assert value == {"models": ["openai/gpt-5"]}


def test_a_key_without_a_file_fills_the_roles(tmp_path: Path) -> None:
    """As one in the environment does; the rehearsal shows it, and without the key all is as before."""
    environ = {"GATEWAY_STATE_DIR": str(tmp_path)}
    desk = Desk(grounds_of(ZERO, environ), OverlayStore(environ, ZERO))
    before = zero(environ)

    def change(edit: Edit, *, dry_run: bool = False) -> Change:
        return desk.change(lambda _: [edit], by="me", via="api", expected=ANY, dry_run=dry_run)

    def leads(config: Config) -> list[str]:
        return [one.upstream.id for one in config.directory.routes["role:main"].candidates]

    given = Edit(("providers", "openrouter"), {"kind": "openrouter", "api_key": SENTINEL})
    rehearsed = change(given, dry_run=True)
    assert leads(rehearsed.config) == ["openrouter/openrouter/free"]
    assert "+    - openrouter/openrouter/free" in rehearsed.diff
    assert leads(before) == leads(zero(environ)) == ["demo/echo"]
    change(given)
    after = zero(environ)
    assert leads(after) == ["openrouter/openrouter/free"]
    beside = zero({"OPENROUTER_API_KEY": "x"}).directory.routes
    assert {name: list(map(str, one.candidates)) for name, one in after.directory.routes.items()} == {
        name: list(map(str, one.candidates)) for name, one in beside.items()
    }
    assert (SENTINEL in str(desk.look().merged), after.reasons["main"]) == (False, "the strongest found, free")
    change(Edit(("roles", "main"), {"models": ["openrouter/x/y"]}))
    assert leads(zero(environ)) == ["openrouter/x/y"]
    change(Edit(("roles", "main"), reverts=True))
    change(Edit(("providers", "openrouter", "api_key"), None))
    assert leads(zero(environ)) == ["demo/echo"]
    change(given)
    change(Edit(("providers", "openrouter"), None))
    assert zero(environ).directory.routes == before.directory.routes
    # Another name or kind says what it is for by itself.
    change(Edit(("providers", "mine"), {"kind": "openrouter", "api_key": SENTINEL}))
    change(Edit(("providers", "gemini"), {"kind": "openrouter", "api_key": SENTINEL}))
    assert leads(zero(environ)) == ["demo/echo"]
