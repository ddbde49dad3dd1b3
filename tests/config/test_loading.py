"""gateway.yaml as a whole: every mistake at once, each at its place; and what a right file becomes."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, load, schema
from gateway.core.names import resolve
from gateway.errors import ConfigError
from gateway.kinds import KINDS
from gateway.types import Bounds, Params, Timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping

SHIPPED = Path(__file__).parents[2] / "gateway.yaml"
KEY = "a-client-key-of-good-length"


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    file = folder / "gateway.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ or {})


def problems(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as error:
        loaded(folder, text, environ)
    return [one.removeprefix(f"{folder}/") for one in error.value.problems]


WRONG = """\
server: {port: x, hots: 1, timeouts: {header: 5parsecs}, max_body: big, api_keys: [short], workers: 0}
provders: {}
rule: []
defaults: {provider: opnai, max_attempts: 0, stream_usage: maybe, params: {model: x}}
providers:
  openai: {kind: opnai}
  foo: {}
  x: {kind: openai, base_url: "ftp://h", api_key: "${NOPE}", headers: {"a b": c}}
  y: 3
  runpod: {}
  azure: {api_key: k}
  a/b: {kind: openai}
models:
  main: rlm
  rlm: main
  m: mian
  main: z
  q: {params: {temperature: 1, force: {stream: true}}}
  w: y/unknown-because-y-is-broken
roles:
  a: {models: [maim, openai/gpt, 3], budget: 1}
  b: []
  c: {models: []}
  d: role:aa
  e: {models: [m], params: nope}
  f: role:b
fallback: {nix: [m], main: [blub]}
presets: {p: {force: 1}}
"""

EXPECTED = """\
1:16: must be a whole number
1:19: unknown key "hots"; did you mean "host"?
1:47: not a duration; write 30s, 500ms, 10m or 1h30m
1:68: not a size; write 32MB, 512KB or a number of bytes
1:84: a client key has 16 characters or more; python -c 'import secrets; print(secrets.token_urlsafe(32))' prints…
1:101: input should be greater than or equal to 1
2:1: unknown key "provders"; did you mean "providers"?
3:1: unknown key "rule"; did you mean "rules"?
4:22: no provider "opnai" is configured; did you mean "openai"?
4:43: input should be greater than or equal to 1
4:60: must be true or false
4:83: "model" comes from the call, never from parameters
6:18: unknown kind "opnai"; did you mean "openai"? (any other OpenAI-compatible endpoint: kind "openai-compatible"…
7:8: "foo" is not a known kind; set its kind, or the base_url of its API
8:31: a base URL must begin with http:// or https:// and name a host
8:51: NOPE is not set; set it, or write ${NOPE:-default}
8:79: not the name of a header
9:6: must be a mapping: name: value
10:11: "endpoint_id" is missing; RunPod shows it in the address of the endpoint
11:10: "base_url" is missing; the kind azure has no default
12:3: "a/b" cannot name a provider: no "/", ":" or space, and not "role" or "auto"
15:8: names in a circle: main -> rlm -> main
16:6: unknown model or alias "mian"; did you mean "main"?
17:3: the key "main" is already in line 14; keep one of them
18:6: "model" is missing
18:48: "stream" comes from the call, never from parameters
21:16: unknown model or alias "maim"; did you mean "main"?
21:34: must be a name (in quotes, if it looks like a number) or a mapping: {model: …, weight: …}
21:38: unknown key "budget"; allowed here: models, params, needs, order, max_price, on_policy
22:6: must be a name or a mapping: {models: […]}
23:15: must not be empty
24:6: unknown role "aa"; there are role:a, role:b, role:c, role:d, role:e, role:f
25:28: unknown preset "nope"
27:12: fallback is for an alias, and "nix" is not one
27:29: unknown model or alias "blub"
28:22: must be a mapping of parameters that replace the client's own
"""


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    """One run shows all there is to mend: in the order of the file, with line, column and suggestion."""
    found = [one.removeprefix("gateway.yaml:") for one in problems(tmp_path, WRONG)]
    expected = EXPECTED.splitlines()
    assert [one.split(" ")[0] for one in found] == [one.split(" ")[0] for one in expected]
    for said, wanted in zip(found, expected, strict=True):
        assert said.startswith(wanted.removesuffix("…"))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("[]", ["gateway.yaml:1:1: must be a mapping, with keys like providers and models"]),
        ("a: [", ["gateway.yaml:2:1: not YAML: did not find expected node content"]),
        ("server: {hosts: x}", ['gateway.yaml:1:10: unknown key "hosts"; did you mean "host"?']),
        ("server: 5", ["gateway.yaml:1:9: must be a mapping: name: value"]),
        ("providers: [openai]", ["gateway.yaml:1:12: must be a mapping: name: value"]),
        ("providers: {openai: {timeouts: {idle: 0s}}}",
         ["gateway.yaml:1:39: a duration must be longer than 0 and at most 24h"]),
        ("providers: {openai: {timeouts: {idel: 5s}}}",
         ['gateway.yaml:1:33: unknown key "idel"; did you mean "idle"?']),
        ("providers: {openai: {timeouts: {first_byte: 9s, first_token: 8s}}}",
         ["gateway.yaml:1:62: first_token cannot be shorter than first_byte"]),
        ("providers: {openai: {api_key: 123}}",
         ["gateway.yaml:1:31: must be text; if it looks like a number, put it in quotes"]),
        ("providers: {openai: {api_key: 'a\\nb ü'}}",
         ["gateway.yaml:1:31: the key has characters that a header cannot hold"]),
        ("providers: {openai: {headers: {x: \"a\\r\\nb: c\"}}}",
         ["gateway.yaml:1:35: a header value is one line of ASCII"]),
        ("providers: {openai: {endpoint_id: x, api_version: y}}", [
            "gateway.yaml:1:35: only the kind runpod has an endpoint_id; this kind is openai",
            "gateway.yaml:1:51: only the kind azure has an api_version; this kind is openai"]),
        ("providers: {demo: {base_url: 'http://x'}}", ["gateway.yaml:1:30: the demo is built in and has no base_url"]),
        ("models: {a: '${X:?get one at example.com}'}", ["gateway.yaml:1:13: X is not set: get one at example.com"]),
        ("roles: {a: [x]}", ["gateway.yaml:1:12: must be a name or a mapping: {models: […]}"]),
        # Slips that people make: what stands there, and what to write.
        ("models: {main: 4}", [("gateway.yaml:1:16: must be a name or a mapping: {model: …}; put a name that looks "
         "like a number in quotes")]),
        ("models: {main: {model: 3.5}}", [
            "gateway.yaml:1:24: must be text; if it looks like a number, put it in quotes"]),
        ("providers:\n\ta: {kind: vllm}", [("gateway.yaml:2:1: not YAML: found character that cannot start any token; "
         "the line is indented with a tab; use spaces")]),
        ("providers:\n  openai: {api_key: ${K:-}}", [("gateway.yaml:2:22: not YAML: did not find expected ',' or '}'; "
         'put a reference inside { } or [ ] in quotes: "${NAME:-}"')]),
        ("providers: {openai: {api_key: $K}}", [
            "gateway.yaml:1:31: write a variable as ${NAME}, or a literal dollar sign as $$"]),
        ("providers: {x: {base_url: 'http://h/v1', type: openai, key_env: K}}", [
            'gateway.yaml:1:42: unknown key "type"; write kind',
            'gateway.yaml:1:56: unknown key "key_env"; write api_key: "${THAT_VARIABLE:-}"']),
        ("providers: {x: {api_base: 'http://h/v1', kind: vllm}}", [
            'gateway.yaml:1:17: unknown key "api_base"; write base_url']),
        ("default_provider: x", [
            ('gateway.yaml:1:1: unknown key "default_provider"; write defaults: {provider: NAME} '
             "(`gateway import FILE` rewrites another program's file)")]),
        ("model_list: []", [
            ('gateway.yaml:1:1: unknown key "model_list"; write providers, and below models or roles the names that '
             "lead there (`gateway import FILE` rewrites another program's file)")]),
        ("providers: {a: {kind: openai, models_endpoint: /models, rate_limit_rpm: 50}}", [
            ('gateway.yaml:1:31: unknown key "models_endpoint"; write models_url (a path on the host; nothing if it is '
             "base_url + /models)"),
            'gateway.yaml:1:57: unknown key "rate_limit_rpm"; write rpm']),
        ("providers: {a: {kind: openai, tokens_per_minute: 5}}\nrate_limit_rpd: 5", [
            'gateway.yaml:1:31: unknown key "tokens_per_minute"; write tpm',
            ('gateway.yaml:2:1: unknown key "rate_limit_rpd"; write providers: {NAME: {rpd: …}} '
             "(`gateway import FILE` rewrites another program's file)")]),
        ("providers: {a: {kind: openai, rpm: 0, tpm: many}}", [
            "gateway.yaml:1:36: input should be greater than or equal to 1",
            "gateway.yaml:1:44: not a number of tokens; write 128k, 1M or 131072"]),
        ("roles: {r: {provider: openai, model: gpt-5}}", [
            'gateway.yaml:1:13: unknown key "provider"; write models: [provider/model]',
            'gateway.yaml:1:31: unknown key "model"; write models: [provider/model]']),
        ("roles: {r: {models: [demo/echo], strategy: x}}", ['gateway.yaml:1:34: unknown key "strategy"; write order']),
        ("models: {m: {model: demo/echo, fallbacks: x}}", [('gateway.yaml:1:32: unknown key "fallbacks"; write '
         "fallback: {ALIAS: [others]} at the top of the file")]),
        ("roles: {r: demo/echo}\nfallback: {r: [demo/echo]}", [('gateway.yaml:2:12: fallback is for an alias, and "r" '
         "is not one; it is a role: add the fallback at the end of its models")]),
        ("roles: {r: openai/gpt-5}", [('gateway.yaml:1:12: unknown model "openai/gpt-5": no provider "openai" is '
         'configured; write "openai:" below providers')]),
        ("roles: {reasoning: demo/echo}\nmodels: {x: reasonin}", [
            'gateway.yaml:2:13: unknown model or alias "reasonin"; did you mean "role:reasoning"?']),
        ("roles: {r: {models: [demo/echo], order: [cheepest]}}", [
            'gateway.yaml:1:42: unknown policy "cheepest"; did you mean "cheapest"?']),
        ("models: {main: demo/echo}\ndefaults: {route: mian}", [
            'gateway.yaml:2:19: unknown model or alias "mian"; did you mean "main"?']),
        ("roles: {main: demo/echo}\ndefaults: {route: main}", [
            'gateway.yaml:2:19: "main" is a role; write "role:main"']),
        ("rules: [{when: {images: true}, use: rolle:x}]", ['gateway.yaml:1:37: unknown model or alias "rolle:x"']),
        ("models: {main: '${M:-}'}", ["gateway.yaml:1:16: must not be empty; it comes from M, which is empty"]),
        ("server: {port: '${P:-}'}", [
            "gateway.yaml:1:16: must be a whole number; it comes from P, which is empty"]),
        ("defaults: {timeouts: {idle: '${A:-}${B:-}'}}", [("gateway.yaml:1:29: not a duration; write 30s, 500ms, 10m "
         "or 1h30m; it comes from A and B, which are empty")]),
    ],
)  # fmt: skip
def test_single_mistakes(tmp_path: Path, text: str, expected: list[str]) -> None:
    """A mistake is one line, and nothing that only follows from it is added."""
    assert problems(tmp_path, text) == expected


def test_secrets_never_turn_up_in_messages(tmp_path: Path) -> None:
    """What came from a variable is not repeated, wherever it is wrong."""
    text = """
server: {api_keys: ["${S}"], port: "${S}"}
providers: {a: {base_url: "${S}", api_key: "${S}\\n", headers: {x: "${S}\\n\\n${S}"}, enabled: "${S}"}}
"""
    found = problems(tmp_path, text, {"S": "hunter2 ü"})
    assert len(found) == 6, found
    assert "hunter2" not in " ".join(found)


def test_configuration_does_not_show_secrets(tmp_path: Path) -> None:
    """The repr of a configuration holds no provider key and no client key, not even its digest."""
    shown = repr(loaded(tmp_path, f"server: {{api_keys: [{KEY}]}}\nproviders: {{openai: {{api_key: sk-secret}}}}"))
    assert "sk-secret" not in shown
    assert KEY not in shown
    assert repr(sha256(KEY.encode()).digest()) not in shown


def test_the_shipped_file_loads_without_any_key() -> None:
    """gateway.yaml is valid as it stands; every role is there, and each says why its paid models are out."""
    config = load(SHIPPED, {})
    assert config.warnings == ()
    assert config.server.api_keys == frozenset()
    for role in ("main", "reasoning", "rlm", "memory", "planner", "browser", "vision", "embedding"):
        route = resolve(f"role:{role}", config.directory)
        assert route.candidates
    reasons = {one.upstream_id: one.reason for one in resolve("role:main", config.directory).rejected}
    assert reasons["anthropic/claude-opus-4"] == "no key; set ANTHROPIC_API_KEY"


def test_the_shipped_file_with_keys() -> None:
    """A key in the environment brings its provider in."""
    config = load(SHIPPED, {"ANTHROPIC_API_KEY": "k1", "OPENROUTER_API_KEY": "k2"})
    ids = [one.upstream.id for one in resolve("role:rlm", config.directory).candidates]
    known = ["anthropic/claude-haiku", "openrouter/google/gemma-3-27b-it:free", "local/nanbeige4.1-3b"]
    assert ids == [*known, "demo/echo"]
    assert resolve("whatever/model", config.directory).candidates[0].upstream.id == "openrouter/whatever/model"


def test_the_shipped_file_points_editors_at_the_schema() -> None:
    """The first line is the one editors look for."""
    assert SHIPPED.read_text().splitlines()[0] == "# yaml-language-server: $schema=./gateway.schema.json"


CORS = "server: {{api_keys: [a-client-key-of-good-length], cors: {{origins: {}}}}}"


@pytest.mark.parametrize(
    ("written", "origins"),
    [
        ('"https://App.example.com/"', ("https://app.example.com",)), ('["*"]', ("*",)),
        ('["${GONE:-}", "http://localhost:*"]', ("http://localhost:*",)),
    ],
)  # fmt: skip
def test_pages_of_other_sites(tmp_path: Path, written: str, origins: tuple[str, ...]) -> None:
    """One origin or several, as browsers write them; what a variable leaves empty is none."""
    server = loaded(tmp_path, CORS.format(written)).server
    assert server.cors is not None
    assert server.cors.origins == origins


@pytest.mark.parametrize("written", ["[]", '["${GONE:-}"]', "~"])
def test_no_pages_of_other_sites(tmp_path: Path, written: str) -> None:
    """It is off unless an origin is named."""
    assert loaded(tmp_path, CORS.format(written)).server.cors is None


@pytest.mark.parametrize(
    ("cors", "complaint"),
    [
        ('{origins: ["app.example.com"]}', '"app.example.com" is not an origin; write it like'),
        ('{origins: ["https://a.example/path"]}', "is not an origin"),
        ("{origins: [3000]}", "an origin is text"),
        ('{origins: ["*"], credentials: true}', "credentials cannot be allowed for every site"),
    ],
)
def test_pages_that_cannot_be_meant(tmp_path: Path, cors: str, complaint: str) -> None:
    assert any(complaint in one for one in problems(tmp_path, f"server: {{cors: {cors}}}"))


def test_every_page_and_no_key_is_warned_of(tmp_path: Path) -> None:
    """It is legal, and lets in nobody."""
    assert any("server.cors" in one for one in loaded(tmp_path, 'server: {cors: {origins: "*"}}').warnings)
    assert loaded(tmp_path, CORS.format('"*"')).warnings == ()


@pytest.mark.parametrize(("said", "delay_s"), [("0", 0.0), ("5s", 5.0), ("", 2.0), ("500ms", 0.5)])
def test_the_environment_may_delay_the_drain(tmp_path: Path, said: str, delay_s: float) -> None:
    """A pod is configured there."""
    server = loaded(tmp_path, "server: {drain_delay: 2s, max_connections: 7}", {"GATEWAY_DRAIN_DELAY": said}).server
    assert (server.drain_delay_s, server.max_connections) == (delay_s, 7)


def test_an_empty_file_is_a_configuration(tmp_path: Path) -> None:
    """Everything has a default, and the demo answers by its full name."""
    config = loaded(tmp_path, "")
    assert (config.server.host, config.server.port, config.server.workers) == ("127.0.0.1", 8400, 1)
    assert config.server.max_body_bytes == 32 * 1024 * 1024
    assert (config.timeouts, config.max_attempts, config.inject_stream_usage) == (Timeouts(), 4, True)
    assert config.source == str(tmp_path / "gateway.yaml")
    assert resolve("demo/echo", config.directory).candidates[0].upstream.provider.kind == "demo"


def test_server_settings(tmp_path: Path) -> None:
    """Every setting of the server arrives, in seconds and bytes."""
    text = """
server:
  {host: "::1", port: "${P:-9000}", workers: 4, api_keys: ["${GONE:-}", a-client-key-of-good-length], max_body: 1MB,
   timeouts: {header: 1, body: 2s, write: 1m}, drain: 500ms}
defaults: {timeouts: {connect: 1s, total: 1h}, max_attempts: 2, stream_usage: false}
"""
    config = loaded(tmp_path, text)
    server = config.server
    assert (server.host, server.port, server.workers, server.max_body_bytes) == ("::1", 9000, 4, 1024 * 1024)
    assert (server.header_timeout_s, server.body_timeout_s, server.write_timeout_s, server.drain_s) == (1, 2, 60, 0.5)
    assert server.api_keys == {sha256(KEY.encode()).digest()}
    assert config.timeouts == Timeouts(connect_s=1, total_s=3600)
    assert (config.max_attempts, config.inject_stream_usage) == (2, False)


@pytest.mark.parametrize(
    "environ, host, port, keys",
    [
        ({}, "10.1.1.1", 1, 1),
        ({"GATEWAY_HOST": "127.0.0.1"}, "127.0.0.1", 1, 1),
        ({"GATEWAY_PORT": "2"}, "10.1.1.1", 2, 1),
        ({"GATEWAY_API_KEY": "another-key-of-good-length"}, "10.1.1.1", 1, 2),
        ({"GATEWAY_API_KEY": KEY}, "10.1.1.1", 1, 1),
        ({"GATEWAY_API_KEY": " ", "GATEWAY_PORT": "", "GATEWAY_HOST": ""}, "10.1.1.1", 1, 1),
    ],
)
def test_the_environment_wins(tmp_path: Path, environ: dict[str, str], host: str, port: int, keys: int) -> None:
    """GATEWAY_HOST and GATEWAY_PORT replace, GATEWAY_API_KEY adds to what the file says."""
    server = loaded(tmp_path, f"server: {{host: 10.1.1.1, port: 1, api_keys: [{KEY}]}}", environ).server
    assert (server.host, server.port, len(server.api_keys)) == (host, port, keys)


def test_mistakes_in_the_environment(tmp_path: Path) -> None:
    """A variable that cannot be what it should be is named, and its value is not."""
    found = problems(tmp_path, "", {"GATEWAY_PORT": "99999", "GATEWAY_API_KEY": "hunter2"})
    assert [one.split(";")[0] for one in found] == [
        "environment: GATEWAY_API_KEY: a client key has 16 characters or more",
        "environment: GATEWAY_PORT: must be a port number, 0 to 65535",
    ]


def test_dotenv_beside_the_file(tmp_path: Path) -> None:
    """`.env` fills in what the real environment does not say; a variable that is set but empty is said."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=from-file\nGROQ_API_KEY=from-file\nMISTRAL_API_KEY=from-file\n")
    text = "providers: {openai: , groq: , mistral: {api_key: '${MISTRAL_API_KEY:-}'}}"
    providers = loaded(tmp_path, text, {"GROQ_API_KEY": "real", "MISTRAL_API_KEY": ""}).directory.providers
    assert providers["openai"].headers == ((b"authorization", b"Bearer from-file"),)
    assert providers["groq"].headers == ((b"authorization", b"Bearer real"),)
    assert providers["mistral"].unusable == "no key; set MISTRAL_API_KEY"


def test_mistakes_in_dotenv(tmp_path: Path) -> None:
    """A line of `.env` that cannot be read is named beside the mistakes of the file."""
    (tmp_path / ".env").write_text("A=1\nnonsense\n")
    found = problems(tmp_path, "x: 1")
    assert found[0] == ".env:2:1: not a KEY=VALUE line"
    assert re.match(r'gateway.yaml:1:1: unknown key "x"', found[1])


@pytest.mark.parametrize(("content", "message"), [
    (None, "cannot be read: No such file or directory"),
    (b"\xff\xfes\0", "not UTF-8 but UTF-16; save it as UTF-8"),
    ("models: {x: caf\u00e9}".encode("utf-16-be", "strict"), "not UTF-8 (byte"),
    ("# one\nmodels: {x: caf\u00e9}".encode("latin-1"), "not UTF-8 (byte 22, in line 2); save it as UTF-8"),
])  # fmt: skip
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A file that is missing, or no text, is a mistake that names it."""
    file = tmp_path / "gateway.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(f"{file}: {message}")):
        load(file, {})


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_files_of_other_editors(tmp_path: Path, prefix: bytes, end: bytes) -> None:
    """Windows' line ends and its mark before UTF-8 change nothing, here and in .env; nor does a blank default."""
    file = tmp_path / "gateway.yaml"
    text = b"models:\n  main: demo/echo\nproviders: {openai: {api_key: '${K}'}}\ndefaults: {provider: '${D:-}'}\n"
    file.write_bytes(prefix + text.replace(b"\n", end))
    (tmp_path / ".env").write_bytes(prefix + b"K=sk-1" + end)
    config = load(file, {})
    assert "main" in config.directory.routes
    assert config.directory.providers["openai"].headers == ((b"authorization", b"Bearer sk-1"),)
    assert config.directory.default_provider is None


@pytest.mark.parametrize(
    "name, defaults, forced",
    [
        ("openai/x", {"a": b"1", "b": b"2"}, {"f": b"1"}),
        ("main", {"a": b"1", "b": b"3"}, {"f": b"1"}),
        ("role:by_name", {"a": b"9", "b": b"3", "c": b'{"d":[0.5,null,true]}'}, {"f": b"2"}),
        ("role:written", {"b": b"3", "e": b"0.25", "q": b'"0.25"'}, {"f": b"1"}),
        ("openai/bare", {"a": b"1", "b": b"2"}, {"f": b"1"}),
    ],
)
def test_parameters(tmp_path: Path, name: str, defaults: dict[str, bytes], forced: dict[str, bytes]) -> None:
    """Parameters are inherited global, provider, model, role, preset, and encoded once, as they were meant."""
    text = """
defaults: {params: {a: 1, b: 1, force: {f: 1}}}
providers: {openai: {api_key: k, models: [bare], params: {b: 2}}}
models: {main: {model: openai/x, params: {b: 3}}}
roles:
  by_name: {models: [main], params: wild}
  written:
    models: [main]
    params:
      a: null
      e: ${E}
      q: "${E}"
presets: {wild: {a: 9, c: {d: [0.5, null, true]}, force: {f: 2}}}
"""
    config = loaded(tmp_path, text, {"E": "0.25"})
    assert resolve(name, config.directory).candidates[0].params == Params(defaults, forced)


def test_default_models(tmp_path: Path) -> None:
    """Names for calls without one, by endpoint; each must be known, and forms have none."""
    text = "providers: {openai: {api_key: k, models: [e]}}\nmodels: {emb: openai/e}\n"
    config = loaded(tmp_path, text + "defaults: {models: {embeddings: emb, moderations: openai/omni}}\n")
    assert config.default_models == {"embeddings": "emb", "moderations": "openai/omni"}
    wrong = "defaults: {models: {embeddings: role:embed, transcriptions: emb, chat: ''}}\n"
    found = problems(tmp_path, text + wrong)
    assert any("transcriptions" in one for one in found)
    assert any("at least 1 character" in one or "empty" in one for one in found)
    [unknown] = problems(tmp_path, text + "defaults: {models: {embeddings: embb}}\n")
    assert unknown.startswith("gateway.yaml:3:")
    assert '"embb"' in unknown


def test_who_takes_token_ids(tmp_path: Path) -> None:
    """Providers of OpenAI's vocabulary, and those of which the configuration says so."""
    text = """
providers:
  openai: {api_key: k}
  vllm: {}
  other: {base_url: "http://x/v1", token_ids: true}
"""
    providers = loaded(tmp_path, text).directory.providers
    assert {name: one.token_ids for name, one in providers.items() if name != "demo"} == {
        "openai": True, "vllm": False, "other": True,
    }  # fmt: skip


def test_quirks(tmp_path: Path) -> None:
    """An operator's quirks hold for all calls to the provider, whatever a role says; false is for the kind's."""
    text = """
defaults: {params: {top_p: 0.5, drop: user}}
providers:
  groq:
    api_key: k
    models: [m]
    headers: {x-a: mine}
    quirks: {drop: [seed], rename: {max_tokens: most}, clamp: {t: [0, 1]}, headers: {x-a: quirk, x-b: b}}
  mistral: {api_key: k, models: [m], quirks: false}
roles: {r: {models: [groq/m], params: {clamp: {t: [0.5, 3]}}}}
"""
    directory = loaded(tmp_path, text).directory
    quirks = Params(drops=frozenset({"seed"}), renames={"max_tokens": "most"}, clamps={"t": Bounds(0, 1)})
    groq, mistral = directory.providers["groq"], directory.providers["mistral"]
    assert (groq.quirks, groq.repairs) == (quirks, True)
    assert groq.headers[1:] == ((b"x-a", b"mine"), (b"x-b", b"b"))
    assert (mistral.quirks, mistral.repairs) == (Params(), False)
    assert resolve("role:r", directory).candidates[0].params == Params(
        {"top_p": b"0.5"}, {}, frozenset({"user", "seed"}), {"max_tokens": "most"}, {"t": Bounds(0.5, 1)}
    )
    assert {groq: 1}[loaded(tmp_path, text).directory.providers["groq"]] == 1


def test_wrong_quirks(tmp_path: Path) -> None:
    """Each mistake is told once, at its place."""
    text = """\
providers:
  groq:
    quirks:
      clamp: {t: [1, 0]}
      headers: {"a b": c}
      force: {x: 1}
  mistral: {quirks: maybe}
"""
    lines = [one.split(":")[1] for one in problems(tmp_path, text)]
    assert lines == ["4", "5", "6", "7"]


@pytest.mark.parametrize(
    "text, warned",
    [
        ("providers: {a: {base_url: 'http://api.example.com/v1', api_key: k}}", True),
        ("providers: {a: {base_url: 'http://api.example.com/v1'}}", False),
        ("providers: {a: {base_url: 'https://api.example.com/v1', api_key: k}}", False),
        ("providers: {a: {base_url: 'http://192.168.1.5/v1', api_key: k}}", False),
        ("server: {host: 0.0.0.0}", True),
        (f"server: {{host: 0.0.0.0, api_keys: [{KEY}]}}", False),
        ("server: {host: '::1'}", False),
        ("server: {host: localhost}", False),
    ],
)
def test_warnings(tmp_path: Path, text: str, warned: bool) -> None:
    """A key over plain http, and an open door, are legal and probably not meant."""
    assert bool(loaded(tmp_path, text).warnings) == warned


def test_the_example_of_the_documentation_loads(tmp_path: Path) -> None:
    """Every YAML block of docs/configuration.md that stands alone is a configuration."""
    document = (SHIPPED.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    alone = [block for block in blocks if not block.startswith(("params:", "rules:"))]
    assert len(alone) == 7
    providers = "providers: {anthropic: , openrouter: , local: {kind: ollama}}\n"
    roles = "roles: {vision: local/a, memory: local/b}\n"
    for block in alone:
        loaded(tmp_path, block if "providers:" in block else block + providers)
    (rules,) = [block for block in blocks if block.startswith("rules:")]
    loaded(tmp_path, rules + providers + roles)


def test_the_documentation_knows_every_key_and_kind() -> None:
    """What can be written is in the reference."""
    document = (SHIPPED.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    keys = {name for part in schema()["$defs"].values() for name in part.get("properties", {})}
    assert [one for one in sorted(keys | set(KINDS)) if one not in document] == []
