"""The files of the overlay: replaced as a whole, for their owner only, and readable whenever the writer dies."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.config import overlay
from gateway.config.settings import ZERO
from gateway.stores import overlay as kept
from gateway.stores.overlay import Line, OverlayStore, Step
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "GATEWAY_SECRET_A_API_KEY_00"
TREE = {"providers": {"a": {"api_key": f"${{{NAME}}}"}}}


@pytest.fixture
def store(tmp_path: Path) -> OverlayStore:
    return OverlayStore({"GATEWAY_STATE_DIR": str(tmp_path)}, ZERO)


def write(store: OverlayStore, tree: Mapping[str, object], secrets: dict[str, str] | None = None) -> None:
    with store.lock():
        store.write(tree, secrets or {})


def test_what_is_written_is_read(store: OverlayStore) -> None:
    """Only the owner may read it, and no file is left beside it."""
    assert (store.read().text, store.read().secrets) == ("", {})
    write(store, TREE, {NAME: "sentinel", "GATEWAY_SECRET_UNUSED": "u"})
    layer = store.read()
    assert overlay.values_of(layer.file, layer.text) == TREE
    assert layer.secrets == {NAME: "sentinel"}
    files = {one.name: stat.S_IMODE(one.stat().st_mode) for one in store.file.parent.iterdir()}
    assert files == {"overlay.yaml": 0o600, "secrets.env": 0o600, ".lock": 0o600}
    assert "sentinel" not in repr(layer)


def test_a_secret_ends_with_its_reference(store: OverlayStore) -> None:
    write(store, TREE, {NAME: "sentinel"})
    write(store, {"models": {"x": "a/y"}})
    assert store.read().secrets == {}
    assert not any(b"sentinel" in one.read_bytes() for one in store.file.parent.iterdir())


def test_nowhere(tmp_path: Path) -> None:
    """A place that is none, or that cannot be written to, is named, and nothing is left behind."""
    with pytest.raises(StoreError, match="set GATEWAY_STATE_DIR"):
        write(OverlayStore({}, ZERO), TREE)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"overlay\.yaml: cannot be written: Not a directory; nothing has changed"):
        write(OverlayStore({"GATEWAY_STATE_DIR": str(tmp_path / "file")}, ZERO), TREE)


def test_a_write_that_fails_changes_nothing(store: OverlayStore) -> None:
    """The disk may refuse the second of the files: the first alone is harmless."""
    write(store, {"models": {"x": "a/1"}})
    (store.file.parent / "secrets.env").mkdir()
    with pytest.raises(StoreError, match="nothing has changed"):
        write(store, TREE, {NAME: "s"})
    assert "a/1" in store.file.read_text()


def test_history(store: OverlayStore) -> None:
    """The newest comes first; a line that was cut short is left out."""
    assert store.history(9) == []
    with store.lock():
        for number in range(3):
            store.tell(Line(float(number), "me", "api", f"v{number}", steps=(Step("models.x", "set", None, number),)))
    with (store.file.parent / kept.HISTORY).open("ab") as file:
        file.write(b'{"at": 4, "by')
    assert [one.version for one in store.history(9)] == ["v2", "v1", "v0"]
    assert [one.version for one in store.history(1)] == ["v2"]
    assert store.history(1)[0].steps == (Step("models.x", "set", None, 2),)


def test_a_line_after_one_that_was_cut_short(store: OverlayStore) -> None:
    """The next writer begins a line of its own."""
    with store.lock():
        store.tell(Line(1.0, "me", "api", "v1"))
        with (store.file.parent / kept.HISTORY).open("ab") as file:
            file.write(b'{"at": 4, "by')
        store.tell(Line(2.0, "me", "api", "v2"))
    assert [one.version for one in store.history(9)] == ["v2", "v1"]


def test_history_is_bounded(store: OverlayStore) -> None:
    """Two files are kept, so the latest lines are always there."""
    with store.lock():
        line = Line(1.0, "me", "api", "v", steps=(Step("p", "set", "x" * 100_000),))
        for _ in range(40):
            store.tell(line)
    sizes = [one.stat().st_size for one in store.file.parent.glob("history*")]
    assert len(sizes) == 2
    assert all(size < kept.LARGEST_HISTORY + 110_000 for size in sizes)
    assert len(store.history(100)) >= 5


def test_one_writer_at_a_time(store: OverlayStore) -> None:
    """Threads exclude each other like processes."""
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            with store.lock():
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert max(most) == 1


WRITER = f"""
import itertools
from gateway.stores.overlay import OverlayStore
store = OverlayStore({{"GATEWAY_STATE_DIR": __import__("sys").argv[1]}}, "{ZERO}")
print("go", flush=True)
for n in itertools.count():
    name = f"GATEWAY_SECRET_{{n:X}}"
    with store.lock():
        entry = {{"api_key": "${{" + name + "}}", "models": ["m" * 50] * 200}}
        store.write({{"providers": {{"a": entry}}}}, {{name: f"s{{n}}"}})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("delay_s", [0.0, 0.011, 0.023, 0.037, 0.05])
def test_a_writer_that_is_killed(tmp_path: Path, store: OverlayStore, delay_s: float) -> None:
    """Whenever it dies, the overlay can be read, its secret is there, and the next writer is not locked out."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, env=env)
    assert writer.stdout is not None
    writer.stdout.readline()
    while not store.file.exists():
        time.sleep(0.01)
    time.sleep(delay_s)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    layer = store.read()
    value = overlay.values_of(layer.file, layer.text)["providers"]["a"]["api_key"]
    assert layer.secrets[value[2:-1]] == f"s{int(value[2:-1].rpartition('_')[2], 16)}"
    write(store, {})
    assert store.read().secrets == {}
