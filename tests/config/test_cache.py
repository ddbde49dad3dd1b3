"""What gateway.yaml says about answers that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import load
from gateway.core.names import resolve, resolve_many
from gateway.errors import ConfigError
from gateway.types import CachePolicy

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config

PROVIDERS = "providers: {a: {kind: vllm, base_url: 'http://a.test/v1', models: [m]}}\n"
HOUR = CachePolicy(3600.0)


def loaded(folder: Path, text: str) -> Config:
    file = folder / "gateway.yaml"
    file.write_text(PROVIDERS + text, encoding="utf-8")
    return load(file, {})


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        loaded(folder, text)
    return [one.removeprefix(f"{folder}/gateway.yaml:") for one in error.value.problems]


@pytest.mark.parametrize(
    "written, expected",
    [
        ("true", HOUR),
        ("'true'", HOUR),
        ("{}", HOUR),
        ("false", None),
        ("", None),
        ("10m", CachePolicy(600.0)),
        ("90", CachePolicy(90.0)),
        ("{enabled: false, ttl: 1m}", None),
        ("{ttl: 1m}", CachePolicy(60.0)),
        ("{shared: true, nondeterministic: true, max_entry: 2MB}",
         CachePolicy(3600.0, shared=True, nondeterministic=True, max_entry_bytes=2 << 20)),
    ],
)  # fmt: skip
def test_how_it_is_written(tmp_path: Path, written: str, expected: CachePolicy | None) -> None:
    """At a role or an alias: whether, how long, or a mapping."""
    text = f"roles: {{r: {{models: [a/m], cache: {written}}}}}\nmodels: {{n: {{model: a/m, cache: {written}}}}}"
    directory = loaded(tmp_path, text).directory
    assert [resolve(name, directory).cache for name in ("role:r", "n")] == [expected] * 2


def test_nothing_is_kept_unless_it_is_said(tmp_path: Path) -> None:
    """And never under a name that is no role and no alias, whoever else keeps answers of that model."""
    text = "roles: {r: a/m, k: {models: [a/m], cache: true}}\nmodels: {n: a/m}\ncache: {ttl: 5m}"
    directory = loaded(tmp_path, text).directory
    names = ("role:r", "n", "a/m", "a:m", "m", "a/else", "auto", "auto:cheap")
    assert [resolve(name, directory).cache for name in names] == [None] * len(names)
    assert resolve_many(["role:k", "n"], directory).cache == CachePolicy(300.0)
    assert resolve_many(["n", "role:k"], directory).cache is None


@pytest.mark.parametrize(
    "name, expected",
    [
        ("role:long", 3600.0),
        ("role:same", 3600.0),
        ("role:short", 60.0),
        ("role:off", None),
        ("role:two", None),
        ("nick", 3600.0),
        ("role:by_alias", 3600.0),
        ("own", 30.0),
    ],
)
def test_what_only_renames_keeps_as_what_it_renames(tmp_path: Path, name: str, expected: float | None) -> None:
    """Unless it says something else itself."""
    text = """
roles:
  long:     {models: [a/m, a/n], cache: 1h}
  same:     role:long
  short:    {models: [role:long], cache: 1m}
  off:      {models: [role:long], cache: false}
  two:      {models: [role:long, a/x]}
  by_alias: nick
models:
  nick: role:long
  own:  {model: nick, cache: 30s}
"""
    policy = resolve(name, loaded(tmp_path, text).directory).cache
    assert (policy.ttl_s if policy else None) == expected


@pytest.mark.parametrize(
    "text, memory, policy",
    [
        ("", 64 << 20, HOUR),
        ("cache: {max_memory: 1GB, ttl: 5m}", 1 << 30, CachePolicy(300.0)),
        ("cache: {max_memory: 512KB}", 512 << 10, CachePolicy(3600.0, max_entry_bytes=512 << 10)),
    ],
)
def test_what_holds_for_all(tmp_path: Path, text: str, memory: int, policy: CachePolicy) -> None:
    """The bound of the memory, and how long answers live where nothing else is said."""
    config = loaded(tmp_path, f"roles: {{r: {{models: [a/m], cache: true}}}}\n{text}")
    assert config.cache.max_memory_bytes == memory
    assert resolve("role:r", config.directory).cache == policy


@pytest.mark.parametrize(
    "text, expected",
    [
        ("roles: {r: {models: [a/m], cache: 3x}}", "2:35: not a duration; write 30s, 500ms, 10m or 1h30m"),
        ("roles: {r: {models: [a/m], cache: {ttl: 0}}}", "2:41: a duration must be longer than 0 and at most 24h"),
        ("roles: {r: {models: [a/m], cache: {ttl: 2d}}}", "2:41: not a duration; write 30s, 500ms, 10m or 1h30m"),
        ("models: {n: {model: a/m, cache: {shared: maybe}}}", "2:42: must be true or false"),
        ("models: {n: {model: a/m, cache: {max_entry: 1}}}", "2:45: a size must be at least 1KB and at most 4GB"),
        ("models: {n: {model: a/m, cache: {max_entry: 65MB}}}",
         "2:45: larger than cache.max_memory; raise that, or lower this"),
        ("cache: {ttl: never}", "2:14: not a duration; write 30s, 500ms, 10m or 1h30m"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, text: str, expected: str) -> None:
    """Each at its place, with what to write instead."""
    assert problems(tmp_path, text) == [expected]
