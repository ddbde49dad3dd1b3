"""What a provider of each kind becomes: where it is, which key it sends where, and whether it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.config import load
from gateway.config.providers import Entry, make_provider, merged_timeouts
from gateway.kinds import KINDS
from gateway.types import Provider, Timeouts

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {var: f"{var}-value" for kind in KINDS.values() for var in kind.key_vars}


def made(kind: str, environ: dict[str, str] | None = None, **said: Any) -> Provider:
    complaints: list[Any] = []
    provider = make_provider(
        "it", Entry(kind, **said), environ or {}, Timeouts(), lambda path, message: complaints.append((path, message))
    )
    assert complaints == []
    return provider


def bearer(key: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"authorization", f"Bearer {key}".encode()),)


RENTED = [
    ("openai", "https://api.openai.com/v1", True),
    ("openrouter", "https://openrouter.ai/api/v1", False),
    ("anthropic", "https://api.anthropic.com/v1", True),
    ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", None),
    ("groq", "https://api.groq.com/openai/v1", False),
    ("mistral", "https://api.mistral.ai/v1", False),
    ("deepseek", "https://api.deepseek.com/v1", False),
    ("together", "https://api.together.ai/v1", None),
    ("fireworks", "https://api.fireworks.ai/inference/v1", None),
    ("xai", "https://api.x.ai/v1", True),
    ("minimax", "https://api.minimax.io/v1", None),
    ("zai", "https://api.z.ai/api/paas/v4", False),
    ("moonshot", "https://api.moonshot.ai/v1", False),
    ("nvidia", "https://integrate.api.nvidia.com/v1", None),
    ("cerebras", "https://api.cerebras.ai/v1", None),
    ("cohere", "https://api.cohere.ai/compatibility/v1", None),
]


@pytest.mark.parametrize("kind, base_url, stream_usage", RENTED)
def test_rented_kinds(kind: str, base_url: str, stream_usage: bool | None) -> None:
    """A known kind needs nothing but its usual variable, and is out without it."""
    variable = KINDS[kind].key_vars[0]
    provider = made(kind, {variable: " key\n"})
    sent = ((b"x-api-key", b"key"),) if kind == "anthropic" else bearer("key")
    assert (provider.base_url, provider.headers, provider.stream_usage) == (base_url, sent, stream_usage)
    assert (provider.unusable, provider.local) == (None, False)
    without = made(kind)
    assert (without.headers, without.unusable) == ((), f"no key; set {' or '.join(KINDS[kind].key_vars)}")


LOCAL = [
    ("ollama", "http://127.0.0.1:11434/v1", True),
    ("lmstudio", "http://127.0.0.1:1234/v1", True),
    ("llamacpp", "http://127.0.0.1:8080/v1", True),
    ("vllm", "http://127.0.0.1:8000/v1", True),
    ("litellm", "http://127.0.0.1:4000/v1", False),  # here, but it spends money elsewhere
    ("demo", "demo:", True),
]


@pytest.mark.parametrize("kind, base_url, local", LOCAL)
def test_local_kinds(kind: str, base_url: str, local: bool) -> None:
    """A local kind needs no key, and costs nothing unless it is a proxy."""
    provider = made(kind)
    assert (provider.base_url, provider.local, provider.unusable, provider.headers) == (base_url, local, None, ())


def test_every_kind_is_in_a_table_above() -> None:
    """A kind that is added is tested."""
    assert set(KINDS) == {row[0] for row in (*RENTED, *LOCAL)} | {"runpod", "azure", "openai-compatible"}


@pytest.mark.parametrize(
    "kind, said, environ, key",
    [
        ("openai", {}, {"OPENAI_API_KEY": "env"}, "env"),
        ("openai", {"api_key": "said"}, {"OPENAI_API_KEY": "env"}, "said"),
        ("gemini", {}, {"GOOGLE_API_KEY": "second"}, "second"),
        ("gemini", {}, {"GOOGLE_API_KEY": "second", "GEMINI_API_KEY": "first"}, "first"),
        ("gemini", {}, {"GOOGLE_API_KEY": "second", "GEMINI_API_KEY": " "}, "second"),
        # the key of OpenAI is for OpenAI: it is never sent to another address
        ("openai", {"base_url": "https://proxy.example.com/v1"}, ENVIRON, None),
        ("anthropic", {"base_url": "http://localhost:9/v1"}, ENVIRON, None),
        ("openai", {"base_url": "https://proxy.example.com/v1", "api_key": "said"}, ENVIRON, "said"),
        ("openai", {"base_url": "https://api.openai.com/v1"}, {"OPENAI_API_KEY": "env"}, "env"),
        ("openai-compatible", {"base_url": "https://x.example.com/v1"}, ENVIRON, None),
    ],
)
def test_which_key_goes_where(kind: str, said: dict[str, Any], environ: dict[str, str], key: str | None) -> None:
    """What is said counts first, then the kind's variables, and those only for the kind's own address."""
    assert made(kind, environ, **said).headers == (bearer(key) if key else ())


@pytest.mark.parametrize(
    "kind, said, unusable",
    [
        ("openai", {"api_key": ""}, "no key; set OPENAI_API_KEY"),
        ("openai", {"api_key": "", "key_variables": ("MY_KEY",)}, "no key; set MY_KEY"),
        ("openai", {"api_key": "k", "enabled": False}, "disabled"),
        ("openai", {"api_key": "", "headers": {"Authorization": "Basic x"}}, None),
        ("openai", {"base_url": "https://proxy.example.com/v1"}, None),  # no key was asked for
        ("openai", {"base_url": "https://proxy.example.com/v1", "api_key": ""}, "no key; set its api_key"),
        ("openai", {"base_url": "http://localhost:4000/v1", "api_key": ""}, None),
        ("openai-compatible", {"base_url": "https://x.example.com/v1"}, None),
        ("openai-compatible", {"base_url": "https://x.example.com/v1", "api_key": "", "key_variables": ("X",)},
         "no key; set X"),
        ("vllm", {"base_url": "http://10.0.0.5:8000/v1", "api_key": ""}, None),
        ("azure", {"base_url": "https://r.openai.azure.com/openai/v1"},
         "no key; set AZURE_OPENAI_API_KEY or AZURE_API_KEY"),
    ],
)  # fmt: skip
def test_who_is_out(kind: str, said: dict[str, Any], unusable: str | None) -> None:
    """A provider without the key it needs, or disabled, is out and says what to set."""
    assert made(kind, **said).unusable == unusable


def test_azure() -> None:
    """Azure takes the bare key in a header of its own, and a version in the query."""
    provider = made("azure", base_url="https://r.openai.azure.com/openai/v1", api_key="k", api_version="2024-10-21")
    assert (provider.headers, provider.query) == (((b"api-key", b"k"),), "api-version=2024-10-21")


def test_runpod() -> None:
    """A RunPod endpoint is found by its id, serves one model, and may take minutes to wake."""
    provider = made("runpod", endpoint_id="abc", api_key="k", model_override="org/m", models=("ignored",))
    assert provider.base_url == "https://api.runpod.ai/v2/abc/openai/v1"
    assert (provider.model_override, provider.models) == ("org/m", ("org/m",))
    assert (provider.timeouts.first_byte_s, provider.timeouts.first_token_s) == (180, 240)


def test_what_is_said_wins_over_the_kind() -> None:
    """Locality, stream usage and headers can be said otherwise."""
    provider = made("openai", api_key="k", local=True, stream_usage=False, headers={"X-Title": "t"})
    assert (provider.local, provider.stream_usage) == (True, False)
    assert provider.headers == (*bearer("k"), (b"x-title", b"t"))


@pytest.mark.parametrize(
    "levels, first_byte_s, first_token_s",
    [
        ([], 30, 60),
        ([{"first_byte_s": 180}], 180, 180),  # the token cannot be due before the byte
        ([{"first_byte_s": 10}], 10, 60),
        ([{"first_byte_s": 180, "first_token_s": 200}], 180, 200),
        ([{"first_token_s": 40}, {"first_byte_s": 50}], 50, 50),
        ([{"first_byte_s": 180}, {"first_byte_s": 5}], 5, 180),
    ],
)
def test_timeouts(levels: list[dict[str, float]], first_byte_s: float, first_token_s: float) -> None:
    """Later levels win, timer by timer."""
    merged = merged_timeouts(Timeouts(), *levels)
    assert (merged.first_byte_s, merged.first_token_s) == (first_byte_s, first_token_s)


@pytest.mark.parametrize("written, environ, unusable, base_url", [
    ('runpod: {endpoint_id: "${E:-}", api_key: k}', {}, "no endpoint_id; set E", ""),
    ('runpod: {endpoint_id: "${E}", api_key: k}', {"E": "  "}, "no endpoint_id; set E", ""),
    ('runpod: {endpoint_id: "", api_key: k}', {},
     "no endpoint_id; set its endpoint_id, or remove the line", ""),
    ('runpod: {endpoint_id: "${E:-}", api_key: "${K:-}"}', {}, "no key; set K; no endpoint_id; set E", ""),
    ('runpod: {endpoint_id: "${E:-}", enabled: false}', {}, "disabled", ""),
    ('runpod: {endpoint_id: "${E}", api_key: k}', {"E": "abc\n"}, None, "https://api.runpod.ai/v2/abc/openai/v1"),
    ('runpod: {endpoint_id: "${E:-}", base_url: "https://x.test/v1"}', {}, None, "https://x.test/v1"),
    ('runpod: {base_url: "https://api.runpod.ai/v2/${E:-}/openai/v1", api_key: k}', {}, "no base_url; set E", ""),
    ('x: {base_url: "${U:-}"}', {}, "no base_url; set U", ""),
    ('x: {base_url: "${U}"}', {"U": " https://x.test/v1 \n"}, None, "https://x.test/v1"),
    ('x: {base_url: "https://${H:-}/v1"}', {}, "no base_url; set H", ""),
    ('x: {base_url: "https://${H:-}.test/v1"}', {}, "no base_url; set H", ""),
    ('x: {base_url: "http://h:${P:-}/v1"}', {}, "no base_url; set P", ""),
    ('x: {base_url: "${S:-}://h/v1"}', {}, "no base_url; set S", ""),
    ('x: {base_url: "http://h${P:-}/v1"}', {}, None, "http://h/v1"),  # a variable that may well be empty
    # Not the kind's own address: who meant a private proxy does not want prompts to go elsewhere.
    ('openai: {base_url: "${U:-}", api_key: k}', {}, "no base_url; set U", ""),
    ('azure: {base_url: "${U:-}", api_key: k}', {}, "no base_url; set U", ""),
    ('azure: {base_url: "https://r.test/openai/v1", api_key: k, api_version: "${V:-}"}', {},
     "no api_version; set V", "https://r.test/openai/v1"),
    ('x: {base_url: "https://x.test/v1", api_version: "${V:-}", endpoint_id: "${E:-}"}', {}, None,
     "https://x.test/v1"),
    ('x: {kind: "${K:-}", base_url: "https://x.test/v1"}', {}, "no kind; set K", "https://x.test/v1"),
    ('x: {base_url: "https://x.test/v1", model_override: "${M:-}"}', {}, None, "https://x.test/v1"),
    ('x: {base_url: "https://x.test/v1", headers: {x-api-key: "${K:-}"}}', {},
     "no header x-api-key; set K", "https://x.test/v1"),
    ('x: {base_url: "https://x.test/v1", headers: {authorization: "Bearer ${K:-}"}}', {},
     "no header authorization; set K", "https://x.test/v1"),
    ('x: {base_url: "https://x.test/v1", headers: {x-title: "${T:-}"}}', {}, None, "https://x.test/v1"),
])  # fmt: skip
def test_what_is_left_blank(
    tmp_path: Path, written: str, environ: dict[str, str], unusable: str | None, base_url: str
) -> None:
    """An empty variable makes its provider one that is not configured: no mistake, and no broken address."""
    file = tmp_path / "gateway.yaml"
    file.write_text(f"providers:\n  {written}\nmodels: {{main: demo/echo}}\n")
    (provider,) = [one for one in load(file, environ).directory.providers.values() if one.name != "demo"]
    assert (provider.unusable, provider.base_url) == (unusable, base_url)
    assert (provider.query, provider.model_override, dict(provider.headers).keys() & {b"x-title", b"x-api-key"}) == (
        "", None, set()
    )  # fmt: skip


@pytest.mark.parametrize(
    ("base_url", "said", "found"),
    [
        ("https://a.test/v1", "", ""),
        ("https://a.test/v1", "/api/v2/models", "https://a.test/api/v2/models"),
        ("https://a.test/v1", "list", "https://a.test/v1/list"),
        ("https://a.test/v1", "https://a.test/models?all=1", "https://a.test/models?all=1"),
    ],
)
def test_where_the_list_of_models_is(base_url: str, said: str, found: str) -> None:
    assert made("openai-compatible", base_url=base_url, models_url=said).models_url == found


@pytest.mark.parametrize("said", ["https://b.test/models", "//b.test/models", "http://a.test/models", "/a b", "/a#b"])
def test_a_list_elsewhere_would_get_the_key(said: str) -> None:
    complaints: list[Any] = []
    entry = Entry("openai-compatible", base_url="https://a.test/v1", models_url=said)
    provider = make_provider("it", entry, {}, Timeouts(), lambda path, message: complaints.append(path))
    assert (provider.models_url, complaints) == ("", [("models_url",)])
