"""Sessions and links: used once, over in time, shared by processes, and stored without their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.stores.sessions import FOLDER, LINK_LIVES_S, MOST_HELD, SESSION_LIVES_S, Sessions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["files", "process"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Sessions:
    return Sessions(tmp_path if request.param == "files" else None)


def test_a_link_is_good_once(sessions: Sessions) -> None:
    secret = sessions.make_link(0.0)
    assert sessions.use_link(secret, 1.0)
    assert not sessions.use_link(secret, 1.0)
    assert not sessions.use_link("another", 1.0)


def test_a_link_is_over_in_time(sessions: Sessions) -> None:
    assert not sessions.use_link(sessions.make_link(0.0), LINK_LIVES_S)


def test_a_session_says_what_it_stands_for_until_it_ends(sessions: Sessions) -> None:
    secret = sessions.begin("ab", 0.0)
    found = sessions.find(secret, SESSION_LIVES_S - 1)
    assert found is not None
    assert found.digest == "ab"
    assert sessions.find(secret, SESSION_LIVES_S) is None
    sessions.end(secret)
    assert sessions.find(secret, 0.0) is None


def test_a_link_is_no_session(sessions: Sessions) -> None:
    assert sessions.find(sessions.make_link(0.0), 0.0) is None


def test_processes_share_the_directory(tmp_path: Path) -> None:
    secret = Sessions(tmp_path).begin("", 0.0)
    assert Sessions(tmp_path).find(secret, 1.0) is not None


def test_files_hold_no_secret_and_are_the_owners(tmp_path: Path) -> None:
    """What is over is removed when the next one begins."""
    sessions = Sessions(tmp_path)
    secret = sessions.begin("", 0.0)
    (file,) = (tmp_path / FOLDER).iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert secret not in file.name
    assert secret.encode() not in file.read_bytes()
    sessions.begin("", SESSION_LIVES_S + 1)
    assert not file.exists()


def test_a_broken_file_is_no_session(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    secret = sessions.begin("", 0.0)
    (file,) = (tmp_path / FOLDER).iterdir()
    file.write_bytes(b"{")
    assert sessions.find(secret, 1.0) is None


def test_a_process_holds_so_many() -> None:
    sessions = Sessions(None)
    first = sessions.begin("", 0.0)
    for _ in range(MOST_HELD):
        sessions.begin("", 0.0)
    assert sessions.find(first, 0.0) is None
