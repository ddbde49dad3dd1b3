"""Changes made at run time: where they are kept, how they are merged, and who is blamed for a mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import Config, Detected, load, overlay, zero
from gateway.config.without_file import SOURCE
from gateway.core.names import resolve
from gateway.errors import ConfigError

FILE = """\
providers:
  a: {kind: vllm, base_url: "http://a.test/v1", timeouts: {idle: 5s, total: 1h}}
models:
  main: {model: a/x, params: {temperature: 1}}
  other: a/y
roles:
  rlm: {models: [main, other], needs: [tools]}
rules: [{when: {images: true}, use: main}]
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"GATEWAY_STATE_DIR": str(tmp_path / "state")}


def put(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(exist_ok=True)
    file = folder / "overlay.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def loaded(tmp_path: Path, environ: dict[str, str], text: str = FILE) -> Config:
    file = tmp_path / "gateway.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def ids(config: Config, name: str) -> list[str]:
    return [one.upstream.id for one in resolve(name, config.directory).candidates]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the places of Linux")
@pytest.mark.parametrize(
    "variables, place",
    [
        ({"GATEWAY_STATE_DIR": "/data", "HOME": "/home/me"}, "/data"),
        ({"GATEWAY_STATE_DIR": "", "HOME": "/home/me"}, "/home/me/.local/state/gateway"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/me"}, "/state/gateway"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.local/state/gateway"),
        ({}, None),
    ],
)
def test_where_it_is(variables: dict[str, str], place: str | None) -> None:
    """GATEWAY_STATE_DIR, else where the platform keeps such things, else nowhere."""
    found = overlay.location(variables, "/project/gateway.yaml")
    assert (found and (found.parents[2], found.name)) == (place and (Path(place), "overlay.yaml"))
    assert found is None or found.parents[1].name == "overlays"


def test_one_for_each_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environ: dict[str, str]) -> None:
    """The path counts, however it is written. A configuration without a file has its own."""
    monkeypatch.chdir(tmp_path)
    spelled = [
        "gateway.yaml",
        "./gateway.yaml",
        str(tmp_path / "gateway.yaml"),
        str(tmp_path / "x" / ".." / "gateway.yaml"),
    ]
    assert len({overlay.location(environ, one) for one in spelled}) == 1
    others = ["gateway.yaml", "other.yaml", "x/gateway.yaml", SOURCE]
    assert len({overlay.location(environ, one) for one in others}) == len(others)


def test_another_configuration_is_left_alone(tmp_path: Path, environ: dict[str, str]) -> None:
    """An alias that was set for one project is unknown in another, and in a configuration without a file."""
    place = overlay.location(environ, str(tmp_path / "gateway.yaml"))
    assert place is not None
    place.parent.mkdir(parents=True)
    place.write_text("models: {new: a/z}")
    assert "new" in loaded(tmp_path, environ).directory.routes
    (tmp_path / "other").mkdir()
    assert "new" not in loaded(tmp_path / "other", environ).directory.routes
    assert "new" not in zero(environ).directory.routes


def test_its_own_counts_before_that_of_all(tmp_path: Path, environ: dict[str, str]) -> None:
    """The file of version 0.1 counts until the first change, which takes it over."""
    put(tmp_path, "models: {old: a/z}")
    assert "old" in loaded(tmp_path, environ).directory.routes
    place = overlay.location(environ, str(tmp_path / "gateway.yaml"))
    assert place is not None
    place.parent.mkdir(parents=True)
    place.write_text("models: {new: a/z}")
    assert {"old", "new"} & loaded(tmp_path, environ).directory.routes.keys() == {"new"}


def test_its_secrets(tmp_path: Path, environ: dict[str, str]) -> None:
    """References of the overlay lead to the file beside it, which wins over the environment."""
    place = overlay.location(environ, str(tmp_path / "gateway.yaml"))
    assert place is not None
    place.parent.mkdir(parents=True)
    place.write_text("providers: {a: {api_key: '${GATEWAY_SECRET_A}'}}")
    place.with_name("secrets.env").write_text('GATEWAY_SECRET_A="se\\"cret"\n')
    config = loaded(tmp_path, {**environ, "GATEWAY_SECRET_A": "another"})
    assert config.directory.providers["a"].headers == ((b"authorization", b'Bearer se"cret'),)
    place.with_name("secrets.env").unlink()
    config = loaded(tmp_path, environ)
    assert "GATEWAY_SECRET_A is not set" in config.warnings[0]
    assert config.directory.providers["a"].headers == ()


def test_without_one(tmp_path: Path, environ: dict[str, str]) -> None:
    """Nothing has been changed, and nothing is created by asking."""
    path = overlay.location(environ, SOURCE)
    assert path is not None
    assert (overlay.layer(environ, SOURCE), path.parent.exists()) == (None, False)
    assert loaded(tmp_path, environ).overlay is None
    assert zero(environ).overlay is None


@pytest.mark.parametrize(
    "text, name, expected",
    [
        ("models: {new: a/z}", "new", ["a/z"]),
        ("models: {new: a/z}", "role:rlm", ["a/x", "a/y"]),
        ("models: {main: a/z}", "role:rlm", ["a/z", "a/y"]),  # a scalar replaces the mapping
        ("models: {main: {model: a/z}}", "main", ["a/z"]),
        ("roles: {rlm: {models: [other]}}", "role:rlm", ["a/y"]),  # a list replaces the list
        ("roles: {rlm: null, new: other}", "role:new", ["a/y"]),
        ("providers: {b: {kind: ollama, models: [m]}}", "m", ["b/m"]),
        ("providers: {a: {models: [only]}}", "only", ["a/only"]),
        ("models:\n", "main", ["a/x"]),
        ("", "main", ["a/x"]),
        ("# nothing yet\n", "main", ["a/x"]),
        ("models: {new: 'a/${Z:-z}'}", "new", ["a/z"]),
    ],
)
def test_merging(tmp_path: Path, environ: dict[str, str], text: str, name: str, expected: list[str]) -> None:
    """Mappings are merged key by key, everything else replaces what was there."""
    file = put(tmp_path, text)
    config = loaded(tmp_path, environ)
    assert (ids(config, name), config.overlay) == (expected, file)


def test_what_is_not_changed_stays(tmp_path: Path, environ: dict[str, str]) -> None:
    """A change deep inside leaves its neighbours alone."""
    put(tmp_path, "providers: {a: {timeouts: {idle: 9s}}}\nmodels: {main: {params: {seed: 1}}}\nrules: []")
    config = loaded(tmp_path, environ)
    timeouts = config.directory.providers["a"].timeouts
    assert (timeouts.idle_s, timeouts.total_s) == (9, 3600)
    assert resolve("main", config.directory).candidates[0].params.defaults == {"temperature": b"1", "seed": b"1"}
    assert config.rules == ()


def test_null_takes_away(tmp_path: Path, environ: dict[str, str]) -> None:
    """What a file says can be taken back, unless something else of that file would mean nothing then."""
    file = put(tmp_path, "roles: {rlm: null}")
    assert "role:rlm" not in loaded(tmp_path, environ).directory.routes
    file.write_text("models: {other: null, new: a/z}")
    config = loaded(tmp_path, environ)
    assert (ids(config, "role:rlm"), ids(config, "new")) == (["a/x", "a/y"], ["a/z"])
    assert warned(config, tmp_path) == [
        (
            'overlay.yaml:1:10: it is needed: unknown model or alias "other"; the entry is ignored. Fix it, or '
            "remove it: gateway models demote other"
        )
    ]


def warned(config: Config, tmp_path: Path) -> list[str]:
    return [one.removeprefix(f"{tmp_path}/state/").replace(f"{tmp_path}/", "") for one in config.warnings]


PASSED = [
    # (what the overlay says, the beginning of each warning)
    ("models: {main: [x]}", ["overlay.yaml:1:16: must be a name or a mapping: {model: …}; the entry is ignored"]),
    ("modles: {}", ['overlay.yaml:1:1: unknown key "modles"; did you mean "models"?; the entry is ignored']),
    ("delegation: {x: {tools: [a, b]}}", ['overlay.yaml:1:1: unknown key "delegation"']),  # of a later version
    ("experiments: {x: {on: main, arms: {a: b/z}}}", ["overlay.yaml:1:18: needs two arms to compare"]),
    ("roles: {rlm: {needs: [tool]}}", ['overlay.yaml:1:23: unknown capability "tool"; did you mean "tools"?']),
    ("roles: {new: {models: [main], order: [luckiest]}}", ['overlay.yaml:1:39: unknown policy "luckiest"']),
    ("roles: {new: {models: [main], tempo: 2h}}", ["overlay.yaml:1:"]),
    ("roles: {rlm: {order: []}}", ["overlay.yaml:1:22: must not be empty"]),
    ("providers: {a: {limits: mode}}", ['overlay.yaml:1:25: unknown scope "mode"; did you mean "model"?']),
    ("providers: {b: {}}", [
        'overlay.yaml:1:16: "b" is not a known kind; set its kind, or the base_url of its API']),
    ("providers: {b: {kind: laterkind, base_url: 'http://b.test/v1'}}\nmodels: {new: b/m}", [
        'overlay.yaml:1:23: unknown kind "laterkind"',
        'overlay.yaml:2:15: unknown model "b/m": no provider "b" is configured; the name has no upstream']),
    ("rules: [{when: {images: 1}, use: main}]", ["overlay.yaml:1:25: must be true or false"]),
    ("models: {x: '${GONE}'}", ["overlay.yaml:1:13: GONE is not set; set it, or write ${GONE:-default}"]),
    ("models: {x: a/1, y: a/2, x: a/3}", ['overlay.yaml:1:26: the key "x" is already in line 1']),
    ("models: {main: minimax/m1}", [  # the name leads somewhere without the overlay
        ('overlay.yaml:1:16: unknown model "minimax/m1": no provider "minimax" is configured; write "minimax:" '
         "below providers; the entry is ignored")]),
    ("roles: {rlm: {models: [minimax/m1]}}", ['overlay.yaml:1:24: unknown model "minimax/m1"']),
    ("defaults: {provider: minimax, max_attempts: 7}", ['overlay.yaml:1:22: no provider "minimax" is configured']),
    ("fallback: {vanished: [main]}", ['overlay.yaml:1:12: fallback is for an alias, and "vanished" is not one']),
    ("models: {p: q, q: p}", [
        "overlay.yaml:1:19: names in a circle: p -> q -> p; the entry is ignored",
        'overlay.yaml:1:13: unknown model or alias "q"; the name has no upstream']),
    ("presets: {x: {force: 1}}", ["overlay.yaml:1:22: must be a mapping of parameters"]),
    ("providers: {a: null}", ['overlay.yaml:1:13: it is needed: unknown model "a/x": no provider "a" is configured']),
]  # fmt: skip


@pytest.mark.parametrize("text, expected", PASSED)
def test_what_is_wrong_is_passed_over(tmp_path: Path, environ: dict[str, str], text: str, expected: list[str]) -> None:
    """A wrong entry is a warning with its place; the gateway starts, and all else that the overlay says counts."""
    put(tmp_path, f"{text}\ncache: {{ttl: 7m}}\n")
    config = loaded(tmp_path, environ)
    assert (ids(config, "role:rlm"), ids(config, "main"), ids(config, "other")) == (["a/x", "a/y"], ["a/x"], ["a/y"])
    assert len(config.rules) == (0 if text.startswith("rules") else 1)
    for said, wanted in zip(warned(config, tmp_path), expected, strict=True):
        assert said.startswith(wanted)
        assert "overlay.yaml" in said.rpartition(". Mend it")[2] or "gateway models demote" in said


def test_every_other_entry_counts(tmp_path: Path, environ: dict[str, str]) -> None:
    """One that is wrong takes no other with it, whatever section they are in."""
    put(
        tmp_path,
        "providers:\n  b: {kind: ollama, models: [m]}\n  c: {kind: nonsense}\n"
        "models:\n  good: b/m\n  promoted: minimax/m1\n  bare: m2\n  bad: {model: a/x, contxt: 1}\n"
        "roles:\n  new: [promoted, good]\n  list: {models: [promoted, bare, good, role:gone]}\n  only: promoted\n"
        "rules:\n  - {when: {images: 1}, use: main}\n  - {when: {task: x}, use: promoted}\n"
        "  - {when: {audio: true}, use: nowhere}\n  - {when: {tools: true}, use: role:list}\n"
        "defaults: {max_attempts: 9, retries: x}\n",
    )
    config = loaded(tmp_path, environ)
    assert (ids(config, "good"), ids(config, "m"), ids(config, "role:list")) == (["b/m"], ["b/m"], ["b/m"])
    assert [rule.use for rule in config.rules] == ["promoted", "role:list"]
    assert (config.max_attempts, config.retries) == (9, 1)
    assert [one.split(": ")[0] for one in warned(config, tmp_path)] == [
        "overlay.yaml:3:13", "overlay.yaml:8:21", "overlay.yaml:10:8", "overlay.yaml:14:21", "overlay.yaml:16:32",
        "overlay.yaml:18:38", "overlay.yaml:6:13", "overlay.yaml:7:9", "overlay.yaml:11:41",
    ]  # fmt: skip


NO_MINIMAX = 'unknown model "minimax/m1": no provider "minimax" is configured; write "minimax:" below providers'


@pytest.mark.parametrize("name, reason", [
    ("promoted", [("minimax/m1", NO_MINIMAX)]),
    ("role:only", [("minimax/m1", NO_MINIMAX)]),
    ("role:mixed", [("minimax/m1", NO_MINIMAX),
                    ("(nobody)/role:gone", ('unknown role "gone"; there are role:main, role:reasoning, role:planner, '
                     "role:rlm, role:browser, role:memory, role:vision, role:embedding, role:only, role:mixed"))]),
    ("second", [("(nobody)/m2", 'unknown model or alias "m2"')]),
])  # fmt: skip
def test_a_name_that_nobody_answers_to(
    tmp_path: Path, environ: dict[str, str], name: str, reason: list[tuple[str, str]]
) -> None:
    """The name is known and says what is missing, like one whose provider lacks its key."""
    put(
        tmp_path,
        "models: {promoted: minimax/m1, second: m2}\nroles: {only: promoted, mixed: {models: [promoted, role:gone]}}",
    )
    config = zero(environ)
    route = resolve(name, config.directory)
    assert ([(one.upstream_id, one.reason) for one in route.rejected], route.candidates) == (reason, ())
    assert "minimax" not in config.directory.providers


@pytest.mark.parametrize(
    "text, expected",
    [
        ("[]", ["overlay.yaml:1:1: must be a mapping, with keys like providers and models"]),
        ("a: [", ["overlay.yaml:2:1: not YAML: did not find expected node content"]),
        ("models: {new: gone}\nserver: {hots: 1}", ['overlay.yaml:2:10: unknown key "hots"; did you mean "host"?']),
        ("server: {api_keys: ['${GONE}']}", ["overlay.yaml:1:21: GONE is not set; set it, or write ${GONE:-default}"]),
        ("budgets: [{scope: total, limit_usd: much}]", [
            'overlay.yaml:1:37: not an amount of USD; write 2, 0.25 or "$2"']),
        ("budgets: [{scope: total, limit_usd: 1, then: downgrade, to: role:gone}]", [
            'overlay.yaml:1:61: unknown role "gone"; there are role:rlm']),
    ],
)  # fmt: skip
def test_what_guards_is_not_passed_over(
    tmp_path: Path, environ: dict[str, str], text: str, expected: list[str]
) -> None:
    """A limit or a key that cannot be read must not be gone in silence, nor a file that cannot be read at all."""
    put(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, environ)
    assert [one.removeprefix(f"{tmp_path}/state/") for one in error.value.problems] == expected


def test_mistakes_of_the_file_itself(tmp_path: Path, environ: dict[str, str]) -> None:
    """A mistake of gateway.yaml is one with an overlay too, but for a wrong value that the overlay replaces."""
    put(tmp_path, "models: {new: gone}\nserver: {port: 1}")
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, environ, FILE + "server: {port: x, host: ''}\n")
    assert error.value.problems == (f"{tmp_path}/gateway.yaml:9:25: must not be empty",)
    put(tmp_path, "models: {main: null}")
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, environ, FILE.replace("other]", "others]"))
    assert error.value.problems == (
        f'{tmp_path}/gateway.yaml:7:24: unknown model or alias "others"; did you mean "other"?',
    )


OLLAMA = Detected("ollama", "http://127.0.0.1:11434/v1", ("gemma3:4b",))
SERVERS = (OLLAMA, Detected("llamacpp", "http://127.0.0.1:8080/v1"))


@pytest.mark.parametrize("variables", [{}, {"OPENROUTER_API_KEY": "k"}, {"OPENAI_API_KEY": "k", "GROQ_API_KEY": "l"}])
@pytest.mark.parametrize("servers", [(), (OLLAMA,), SERVERS])
def test_without_a_file(
    tmp_path: Path, environ: dict[str, str], variables: dict[str, str], servers: tuple[Detected, ...]
) -> None:
    """Zero configuration is the same with an overlay, but for what the overlay changes."""
    plain = zero(variables, servers)
    put(tmp_path, "models: {mine: demo/echo}")
    changed = zero({**environ, **variables}, servers)
    assert (changed.source, changed.warnings, changed.server) == (SOURCE, plain.warnings, plain.server)
    assert changed.directory.providers == plain.directory.providers
    assert changed.directory.default_provider == plain.directory.default_provider
    assert ids(changed, "mine") == ["demo/echo"]
    routes = {name: route for name, route in changed.directory.routes.items() if name != "mine"}
    assert routes == dict(plain.directory.routes)


def test_mistakes_without_a_file(tmp_path: Path, environ: dict[str, str]) -> None:
    """An alias that was promoted in another project is no reason not to start in this one."""
    put(tmp_path, "models: {mine: gone}\nroles: {embedding: demo/echo}")
    config = zero(environ)
    assert ids(config, "role:embedding") == ["demo/echo"]
    assert warned(config, tmp_path) == [
        (
            'overlay.yaml:1:16: unknown model or alias "gone"; the name has no upstream. Fix it, or remove it: gateway '
            "models demote mine"
        )
    ]


def test_pydantic_is_not_needed_without_one(environ: dict[str, str]) -> None:
    """Only an overlay that is there costs its checks at the start."""
    script = f"import sys; from gateway.config import zero; zero({environ!r}); sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
