"""Real-looking files of every format load, and their names lead where the program that wrote them would have gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Config, load
from gateway.config.environment import parse_dotenv
from gateway.config.imports import FORMATS, Unreadable, imported
from gateway.types import Capability, Rate, RateUnit
from tests.config.imports import files

if TYPE_CHECKING:
    from pathlib import Path

KEYS = (
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_API_KEY", "MY_OPENROUTER_KEY", "OPENROUTER_API_KEY", "GROQ_API_KEY",
    "GEMINI_API_KEY", "CCR_KEY",
)  # fmt: skip
ENVIRON = {**dict.fromkeys(KEYS, "a-key-of-twenty-chars"), **parse_dotenv(files.DOTENV)[0]}


def made(folder: Path, *given: tuple[str, str]) -> Config:
    """Import files, and load what they became."""
    (folder / "gateway.yaml").write_text(imported(given).text)
    return load(folder / "gateway.yaml", ENVIRON)


def leads(config: Config, name: str) -> list[str]:
    return [one.upstream.id for one in config.directory.routes[name].candidates]


FORMS = {
    "litellm": (("config.yaml", files.LITELLM),),
    "harness": (("providers.yaml", files.PROVIDERS), ("harness.yaml", files.HARNESS)),
    "toml": (("config.toml", files.TOML),),
    "single": (("old.toml", files.SINGLE),),
    "agent": (("agent.json", files.AGENT),),
    "openrouter": (("openrouter.json", files.OPENROUTER),),
    "router": (("config.json", files.ROUTER),),
}
CHAIN = ["anthropic/claude-opus-4", "anthropic/claude-haiku", "local/nanbeige4.1-3b"]


@pytest.mark.parametrize(
    ("form", "name", "upstreams"),
    [
        ("litellm", "role:gpt-4o", ["azure/my-gpt-4o", "openai/gpt-4o"]),
        ("litellm", "claude", ["anthropic/claude-sonnet-5", "azure/my-gpt-4o", "openai/gpt-4o", "gpu/qwen3-8b"]),
        ("litellm", "qwen", ["gpu/qwen3-8b"]),
        ("harness", "role:chat", ["litellm/gpt-4o"]),
        ("harness", "role:vision", ["openrouter/qwen/qwen3-vl-8b-instruct"]),
        ("harness", "role:planner", ["anthropic/claude-opus-4"]),
        ("toml", "main", CHAIN),
        ("toml", "role:reasoning", CHAIN),
        ("toml", "role:compaction", ["openrouter/google/gemma-3-27b-it:free"]),
        ("single", "main", ["openrouter/google/gemma-3-27b-it:free"]),
        ("agent", "role:researcher", ["openai/gpt-4o-mini", "groq/llama3-70b"]),
        (
            "openrouter",
            "role:main",
            ["openrouter/anthropic/claude-sonnet-5", "openrouter/google/gemma-3-27b-it:free"],
        ),
        ("router", "role:main", ["openrouter/google/gemini-2.5-pro"]),
        ("router", "role:background", ["ollama/qwen2.5-coder:latest"]),
        ("router", "role:long-context", ["gemini/gemini-2.5-pro"]),
    ],
)
def test_names_lead_where_they_led(tmp_path: Path, form: str, name: str, upstreams: list[str]) -> None:
    assert leads(made(tmp_path, *FORMS[form]), name) == upstreams


@pytest.mark.parametrize(
    ("form", "left"),
    [
        ("litellm", ["config.yaml:24", "config.yaml:33", "config.yaml:38"]),
        ("harness", ["harness.yaml:5"]),
        ("toml", ["config.toml:2"]),
        ("single", ["old.toml:2"]),
        ("agent", ["agent.json:6"]),
        ("openrouter", []),
        ("router", ["config.json:6", "config.json:8", "config.json:9", "config.json:18"]),
    ],
)
def test_every_line_that_is_not_carried_is_named(form: str, left: list[str]) -> None:
    """Each with its file and line; the result lists them too, and no secret is in it."""
    found = imported(FORMS[form])
    assert [one.split(": ")[0] for one in found.left] == left
    assert all(f"#   {one}" in found.text for one in found.left)
    for secret in ("not-to-be-copied", "sk-1234567890abcdef", "sk-or-clear"):
        assert secret not in found.text


def test_environment_with_a_chosen_provider(tmp_path: Path) -> None:
    """LLM_PROVIDER=runpod: bare names go to the endpoint's one model, with the values of the variables."""
    config = made(tmp_path, (".env", files.DOTENV))
    runpod = config.directory.providers["runpod"]
    assert runpod.base_url == "https://api.runpod.ai/v2/abc123/openai/v1"
    assert config.directory.default_provider == "runpod"
    assert {"custom", "openrouter"} <= set(config.directory.providers)
    assert "secret" not in imported([(".env", files.DOTENV)]).text


def test_shares_and_parameters(tmp_path: Path) -> None:
    """LiteLLM's rpm are shares of a random choice; the parameters of a deployment stay with it."""
    config = made(tmp_path, *FORMS["litellm"])
    group = config.directory.routes["role:gpt-4o"]
    assert group.order == ("weighted",)
    assert [one.weight for one in group.candidates] == [600, 200]
    assert config.directory.routes["claude"].candidates[0].params.defaults == {"temperature": b"0.2"}
    assert config.directory.providers["azure"].base_url == "https://res.openai.azure.com/openai/v1"


def test_limits_stay(tmp_path: Path) -> None:
    """A deployment's limits become those of its provider, and so do a provider's own."""
    providers = made(tmp_path, *FORMS["litellm"]).directory.providers
    assert providers["azure"].rates == (Rate(RateUnit.REQUESTS, 600, 60),)
    assert providers["openai"].rates == (Rate(RateUnit.REQUESTS, 200, 60),)
    assert made(tmp_path, *FORMS["toml"]).directory.providers["anthropic"].rates == (Rate(RateUnit.REQUESTS, 50, 60),)


def test_facts_of_models_stay(tmp_path: Path) -> None:
    """Prices, lengths and capabilities of an entry become those of its alias; half a price is none."""
    text = """
model_list:
  - model_name: own
    litellm_params:
      {model: openai/m, api_base: "http://h.test/v1", api_key: none, timeout: 30, stream_timeout: 5, dimensions: 8}
    model_info: {id: x, input_cost_per_token: 0.0000025, output_cost_per_token: 1.0e-05, max_input_tokens: 128000,
                 max_tokens: 4096, supports_vision: true, supports_function_calling: false}
  - model_name: half
    litellm_params: {model: openai/n, api_base: "http://h.test/v1", api_key: none, timeout: 30}
    model_info: {input_cost_per_token: 0.0000025, mode: chat}
  - model_name: vectors
    litellm_params: {model: openai/e, api_base: "http://h.test/v1", api_key: none, input_cost_per_token: 1.0e-07}
    model_info: {mode: embedding, base_model: text-embedding-3-small}
litellm_settings: {max_budget: 20, budget_duration: 7d, cache: true}
general_settings: {database_url: x}
"""
    (tmp_path / "config.yaml").write_text(text)
    config = made(tmp_path, ("config.yaml", text))
    own = config.directory.routes["own"].candidates[0]
    ability = own.upstream.ability
    assert ability.price is not None
    assert (ability.price.input, ability.price.output) == (2_500_000_000, 10_000_000_000)
    assert (ability.context_tokens, ability.max_output_tokens) == (128_000, 4096)
    assert Capability.VISION in ability.has
    assert Capability.TOOLS in ability.lacks
    assert own.params.defaults == {"dimensions": b"8"}
    assert config.directory.routes["half"].candidates[0].upstream.ability.price is None
    vectors = config.directory.routes["vectors"].candidates[0].upstream.ability.price
    assert vectors is not None
    assert (vectors.input, vectors.output) == (100_000_000, 0)
    (budget,) = config.budgets
    assert (budget.limit_nanousd, budget.window.value) == (20_000_000_000, "week")
    left = imported([("config.yaml", text)]).left
    assert any("a price needs both" in one for one in left)
    assert any("the models of h differ in it" in one and "timeout" in one for one in left)
    assert any("write stores: {database: URL}" in one for one in left)
    assert any("say it at the alias" in one for one in left)


def test_different_limits_of_one_provider_are_named() -> None:
    """Ours are the same for each of its models; the numbers stay the shares of the calls."""
    text = """
model_list:
  - {model_name: a, litellm_params: {model: openai/gpt-4o, api_key: os.environ/K, rpm: 600, tpm: 1000}}
  - {model_name: a, litellm_params: {model: openai/gpt-5, api_key: os.environ/K, rpm: 200}}
"""
    found = imported([("config.yaml", text)])
    assert "rpm: 600" not in found.text.partition("# Not carried over")[0]
    assert [str(one).count("the models of openai differ in it") for one in found.left] == [1, 1, 1]


@pytest.mark.parametrize(
    ("base", "endpoint", "path"),
    [
        ("https://or.example/api/v1", "/api/v1/models/user", "https://or.example/api/v1/models/user"),
        ("https://or.example/api/v1", "/models/user", "https://or.example/api/v1/models/user"),
        ("http://h.example:4000", "/api/list", "http://h.example:4000/api/list"),
        ("http://h.example:4000/v1", "list", "http://h.example:4000/v1/list"),
        ("http://h.example:4000/v1", "/models", ""),
    ],
)
def test_a_list_of_models_elsewhere_stays(tmp_path: Path, base: str, endpoint: str, path: str) -> None:
    """`models_endpoint` is a path on the host or below the base URL."""
    text = f"providers: {{x: {{type: openai_compatible, base_url: {base}, models_endpoint: {endpoint}, key_env: K}}}}"
    assert made(tmp_path, ("providers.yaml", text)).directory.providers["x"].models_url == path


def test_base_urls(tmp_path: Path) -> None:
    """A base URL without a path gets /v1, and a kind's own URL is not repeated."""
    providers = made(tmp_path, *FORMS["harness"]).directory.providers
    assert (providers["litellm"].kind, providers["litellm"].base_url) == ("litellm", "http://localhost:4000/v1")
    assert providers["anthropic"].base_url == "https://api.anthropic.com/v1"
    assert providers["litellm"].unusable is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.toml", "[providers", "x.toml: not TOML: "),
        ("x.yaml", "a: [", ": not YAML: "),
        ("x.yaml", "- 3\n", "no provider, model or role"),
        ("x.yaml", "7", "holds no configuration"),
        ("x.yaml", "colour: red", "not a configuration that can be imported; known are: "),
        (".env", "not a line", ".env:1: not a KEY=VALUE line"),
        (".env", "DEBUG=1", "no provider, model or role in it could be carried over"),
        ("x.yaml", "model_list: [{model_name: a, litellm_params: {model: bedrock/x}}]", "could be carried over"),
    ],
)
def test_refusals(name: str, text: str, said: str) -> None:
    """A file that cannot be imported says why, with its name."""
    with pytest.raises(Unreadable) as error:
        imported([(name, text)])
    assert said in str(error.value)


def test_every_format_has_a_title() -> None:
    assert len({one.title for one in FORMATS}) == 5
