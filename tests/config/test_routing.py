"""What gateway.yaml says about choosing: orders, needs, shares, rules, and what is known of models."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from gateway.config import Config, load
from gateway.core.names import AUTO_ORDERS, MOST_FALLBACKS, resolve
from gateway.core.rules import HARD, LANGUAGES, Features, choose
from gateway.core.spend import Calendar
from gateway.core.strategies import STRATEGIES
from gateway.errors import ConfigError
from gateway.types import Ability, Capability, Hours, LimitScope, Price, Tier

if TYPE_CHECKING:
    from gateway.types import Route

# By length and by the hour, neither in its order.
LAYERED = """price: {
    input: 2, output: 8, tiers: [{above: 1M, input: 9}, {above: 200k, output: 16}],
    hours: [{between: '16:30-24:00', input: 1}, {between: 00:00-00:30, output: 4, request: 0.001}]}"""
LONG = (Tier(200_000, output=16 * 10**9), Tier(1_000_000, 9 * 10**9))
TOOLS, VISION, AUDIO = Capability.TOOLS, Capability.VISION, Capability.AUDIO
PROVIDERS = "providers: {a: {kind: vllm, base_url: 'http://a.test/v1'}, b: {kind: openai, api_key: k, models: [m]}}\n"


def loaded(folder: Path, text: str) -> Config:
    file = folder / "gateway.yaml"
    file.write_text(text if "providers:" in text else PROVIDERS + text, encoding="utf-8")
    return load(file, {})


def route(folder: Path, text: str, name: str = "role:r") -> Route:
    return resolve(name, loaded(folder, text).directory)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        loaded(folder, PROVIDERS + text)
    return [one.removeprefix(f"{folder}/gateway.yaml:") for one in error.value.problems]


def test_a_role_in_full(tmp_path: Path) -> None:
    """Order, needs, ceiling, shares and what follows a refusal arrive in the route."""
    found = route(
        tmp_path,
        """
roles:
  r:
    models: [{model: a/x, weight: 3}, {model: b/y}, a/z]
    needs: [tools, vision]
    order: [free, weighted]
    max_price: $0.50
    on_policy: failover
""",
    )
    assert [(one.upstream.id, one.weight) for one in found.candidates] == [("a/x", 3), ("b/y", 1), ("a/z", 1)]
    assert found.needs == frozenset({TOOLS, VISION})
    assert (found.order, found.max_price) == (("free", "weighted"), 500_000_000)
    assert found.fails_over_on_policy


@pytest.mark.parametrize(
    ("text", "patience_s"),
    [
        ("roles: {r: a/x}", 0.0),
        ("roles: {r: {models: [a/x, b/y], patience: 2s}}", 2.0),
        ("roles: {r: {models: [a/x, b/y], patience: 500ms}}", 0.5),
        ("roles: {r: {models: [a/x, b/y], patience: 0}}", 0.0),
        ("roles: {r: main}\nmodels: {main: {model: a/x, patience: 3s}}", 3.0),  # of what it merely renames
        ("roles: {r: {models: [main], patience: 1s}}\nmodels: {main: {model: a/x, patience: 3s}}", 1.0),
        ("roles: {r: {models: [main], patience: 0}}\nmodels: {main: {model: a/x, patience: 3s}}", 0.0),
        ("roles: {r: {models: [main, b/y]}}\nmodels: {main: {model: a/x, patience: 3s}}", 0.0),
    ],
)
def test_patience(tmp_path: Path, text: str, patience_s: float) -> None:
    """Of a role or an alias, handed down where there is a single target."""
    assert route(tmp_path, f"\n{text}\n").patience_s == patience_s


@pytest.mark.parametrize(
    "text, expected",
    [
        ("roles: {r: a/x}", (("listed",), None, False)),
        ("defaults: {order: [cheapest]}\nroles: {r: a/x}", (("cheapest",), None, False)),
        ("defaults: {order: [cheapest]}\nroles: {r: {models: a/x, order: [listed]}}", None),
        ("roles: {r: {models: [a/x], max_price: 2, on_policy: stay}}", (("listed",), 2_000_000_000, False)),
        ("roles: {r: role:s, s: {models: [a/x, a/y], max_price: '$1', order: [fastest], on_policy: failover}}",
         (("fastest",), 1_000_000_000, True)),
    ],
)  # fmt: skip
def test_what_a_role_does_not_say(tmp_path: Path, text: str, expected: tuple[Any, ...] | None) -> None:
    """Left out, the order is the default one, and a role that renames another is that one."""
    if expected is None:
        with pytest.raises(ConfigError):  # a list is a list
            loaded(tmp_path, text)
        return
    found = route(tmp_path, text)
    assert (found.order, found.max_price, found.fails_over_on_policy) == expected


@pytest.mark.parametrize(
    "defaults, expected",
    [
        ("", (10.0, 1)),
        ("defaults: {max_wait: 2m, retries: 0}", (120.0, 0)),
        ("defaults: {max_wait: 0}", (0.0, 1)),
        ("defaults: {max_wait: 0s}", (0.0, 1)),
    ],
)
def test_waiting_and_trying_again(tmp_path: Path, defaults: str, expected: tuple[float, int]) -> None:
    """How long a call waits for a limit, and how often it asks the same upstream again."""
    config = loaded(tmp_path, defaults)
    assert (config.max_wait_s, config.retries) == expected


@pytest.mark.parametrize(
    "defaults, calendar",
    [
        ("", Calendar()),
        ("defaults: {timezone: Europe/Berlin}", Calendar(ZoneInfo("Europe/Berlin"))),
        ("defaults: {timezone: UTC, week_starts: sunday}", Calendar(ZoneInfo("UTC"), 6)),
    ],
)
def test_when_days_and_weeks_of_budgets_begin(tmp_path: Path, defaults: str, calendar: Calendar) -> None:
    """A worker process gets it with the rest of the configuration."""
    config = loaded(tmp_path, defaults)
    assert config.calendar == calendar
    assert pickle.loads(pickle.dumps(config.calendar)) == calendar  # noqa: S301  # our own


@pytest.mark.parametrize(
    "said, expected",
    [
        ("price: {input: 0.25, output: 1.25, cached_input: 0.03}",
         Ability(price=Price(250_000_000, 1_250_000_000, 30_000_000))),
        ("price: {input: 0, output: '$0'}", Ability(price=Price(0, 0), free=True)),
        # free is what costs nothing in any unit, at any length, at any hour
        *(
            (f"price: {{input: 0, output: 0, {unit}}}", Ability(price=Price(0, 0, **said)))
            for unit, said in (
                ("request: 0.002", {"request": 2_000_000}),
                ("image: 0.04", {"image": 40_000_000}),
                ("web_search: 0.01", {"web_search": 10_000_000}),
                ("audio_input: 6", {"audio_input": 6 * 10**9}),
                ("audio_output: 12", {"audio_output": 12 * 10**9}),
                ("image_input: 8", {"image_input": 8 * 10**9}),
                ("image_output: 32", {"image_output": 32 * 10**9}),
                ("reasoning: 3", {"reasoning": 3 * 10**9}),
                ("cache_write_1h: 3", {"cache_write_1h": 3 * 10**9}),
                ("second: 0.0001", {"audio_hour": 360_000_000}),
                ("minute: 0.006", {"audio_hour": 360_000_000}),
                ("hour: 0.111, minimum_seconds: 10", {"audio_hour": 111_000_000, "least_audio_ms": 10_000}),
                ("character: 0.000015", {"characters": 15 * 10**9}),
                ("million_characters: 15", {"characters": 15 * 10**9}),
                ("tiers: [{above: 200k, input: 1}]", {"tiers": (Tier(200_000, 10**9),)}),
                ("hours: [{between: '22:00-06:00', request: 1}]",
                 {"hours": (Hours(79_200, 21_600, Price(0, 0, request=10**9)),)}),
            )
        ),
        ("price: {request: 0.002}", Ability(price=Price(0, 0, request=2_000_000))),
        ("price: {minute: 0}", Ability(price=Price(0, 0), free=True)),
        (LAYERED, Ability(price=Price(
            2 * 10**9, 8 * 10**9, tiers=LONG,
            hours=(Hours(59_400, 86_400, Price(10**9, 8 * 10**9, tiers=LONG)),
                   Hours(0, 1800, Price(2 * 10**9, 4 * 10**9, request=1_000_000, tiers=LONG)))))),
        ("price: {input: 1, output: 2}, free: true", Ability(price=Price(10**9, 2 * 10**9), free=True)),
        ("capabilities: [tools, vision], lacks: [audio]", Ability(frozenset({TOOLS, VISION}), frozenset({AUDIO}))),
        ("context: 128k, max_output: 8192", Ability(context_tokens=128_000, max_output_tokens=8192)),
        ("context: 1.5M, strength: 0", Ability(context_tokens=1_500_000, strength=0)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["it", "nick", "role:r", "x/known", "x:known"])
def test_what_an_alias_says_of_its_model(tmp_path: Path, said: str, expected: Ability, name: str) -> None:
    """It counts wherever the model is used, under whatever name."""
    text = f"""
providers: {{x: {{kind: openai-compatible, base_url: "https://x.test/v1"}}}}
models: {{it: {{model: x/known, {said}}}, nick: it}}
roles: {{r: [it]}}
"""
    text = text.replace("r: [it]", "r: {models: [x/known]}")
    assert route(tmp_path, text, name).candidates[0].upstream.ability == expected


def test_what_a_provider_says_of_its_models(tmp_path: Path) -> None:
    """A provider may say what all its models cost, and an alias that one of them is different."""
    text = """
providers: {gpu: {kind: vllm, price: {input: 1, output: 1}}, trial: {kind: groq, api_key: k, free: true}}
models: {other: {model: gpu/other, free: true}}
"""
    directory = loaded(tmp_path, text).directory
    found = {name: resolve(name, directory).candidates[0].upstream.ability for name in ("gpu/x", "other", "trial/x")}
    assert {name: one.free for name, one in found.items()} == {"gpu/x": False, "other": True, "trial/x": True}
    assert found["gpu/x"].price == found["other"].price == Price(10**9, 10**9)


@pytest.mark.parametrize(
    "name, free",
    [
        ("home/llama3", True),
        ("home/gpt-oss:120b-cloud", False),  # Ollama passes these on to ollama.com
        ("home/glm-4.6:cloud", False),
        ("away/llama3", False),
        ("proxy/x", False),
    ],
)
def test_what_is_free_by_itself(tmp_path: Path, name: str, free: bool) -> None:
    """What computes here costs nothing."""
    text = "providers: {home: {kind: ollama}, away: {kind: groq, api_key: k}, proxy: {kind: litellm}}"
    assert route(tmp_path, text, name).candidates[0].upstream.ability.free is free


@pytest.mark.parametrize(
    "provider, limits, probe, discover",
    [
        ("openrouter: {api_key: k}", LimitScope.FREE_ACCOUNT, True, True),
        ("openrouter: {api_key: k, limits: account}", LimitScope.ACCOUNT, True, True),
        ("groq: {api_key: k}", LimitScope.MODEL, True, True),
        ("deepseek: {api_key: k}", LimitScope.ACCOUNT, True, True),
        ("runpod: {api_key: k, endpoint_id: e}", LimitScope.MODEL, False, False),
        ("runpod: {api_key: k, endpoint_id: e, probe: true, discover: true}", LimitScope.MODEL, True, True),
        ("openai: {api_key: k, probe: false, discover: false}", LimitScope.MODEL, False, False),
    ],
)
def test_providers(tmp_path: Path, provider: str, limits: LimitScope, probe: bool, discover: bool) -> None:
    """What limits are counted by, and what may be asked in the background, is the kind's unless it is said."""
    found = loaded(tmp_path, f"providers: {{{provider}}}").directory.providers[provider.partition(":")[0]]
    assert (found.limit_scope, found.probe, found.discover) == (limits, probe, discover)


RULES = """
rules:
  - {when: {images: true, tools: false}, use: "role:vision"}
  - {when: {task: "summar*", stream: false}, use: memory}
  - {when: {endpoint: [completions, embeddings], header: {X-Team: "ml-?"}}, use: auto:cheap}
  - {when: {user: "guest-[0-9]*", prompt_tokens: {min: 8k, max: 9k}}, use: b/m}
  - {when: {language: zh, model: "gpt*"}, use: m}
  - {when: {complexity: {min: 60}, json_schema: true, audio: true}, use: auto}
models: {memory: a/x}
roles: {vision: a/v}
"""


@pytest.mark.parametrize(
    "features, use",
    [
        (Features("chat", "x"), None),
        (Features("chat", "x", capabilities=frozenset({VISION})), "role:vision"),
        (Features("chat", "x", capabilities=frozenset({VISION, TOOLS})), None),
        (Features("chat", "x", task="summary"), "memory"),
        (Features("chat", "x", task="a summary"), None),
        (Features("chat", "x", task="summary", stream=True), None),
        (Features("embeddings", "x", headers={b"x-team": b"ml-1"}), "auto:cheap"),
        (Features("embeddings", "x", headers={b"x-team": b"ml-11"}), None),
        (Features("chat", "x", user="guest-1", prompt_tokens=8000), "b/m"),
        (Features("chat", "x", user="guest-x", prompt_tokens=8000), None),
        (Features("chat", "x", user="guest-1", prompt_tokens=9001), None),
        (Features("chat", "gpt-4", language="zh"), "m"),
        (Features("chat", "x", complexity=60, capabilities=frozenset({Capability.JSON_SCHEMA, AUDIO})), "auto"),
    ],
)
def test_rules(tmp_path: Path, features: Features, use: str | None) -> None:
    """Rules mean what they say, and every target of one is a name that resolves by a look-up."""
    config = loaded(tmp_path, RULES)
    assert choose(config.rules, features) == use
    assert use is None or use == "m" or use in config.directory.routes


@pytest.mark.parametrize(
    "text, expected",
    [
        ("roles: {r: {models: [a/x], needs: [tool]}}", ['2:36: unknown capability "tool"; did you mean "tools"?']),
        ("roles: {r: {models: [a/x], needs: [x, tools, y]}}", [
            f'2:36: unknown capability "x"; there are {", ".join(Capability)}',
            f'2:46: unknown capability "y"; there are {", ".join(Capability)}']),
        ("roles: {r: {models: [a/x], order: [cheepest]}}", [
            '2:36: unknown policy "cheepest"; did you mean "cheapest"?']),
        ("roles: {r: {models: [a/x], order: []}}", ["2:35: must not be empty"]),
        ("roles: {r: {models: [a/x], order: [free, free]}}", ['2:35: "free" is listed twice']),
        ("roles: {r: {models: [a/x], order: free}}", ["2:35: must be a list: [one, another]"]),
        ("defaults: {order: [best]}", [
            f'2:20: unknown policy "best"; there are {", ".join(STRATEGIES)}']),
        ("defaults: {max_wait: soon, retries: 11}", [
            "2:22: not a duration; write 30s, 500ms, 10m or 1h30m",
            "2:37: input should be less than or equal to 10"]),
        ("roles: {r: {models: [a/x], max_price: two}}", ['2:39: not an amount of USD; write 2, 0.25 or "$2"']),
        ("roles: {r: {models: [a/x], max_price: -1}}", ["2:39: an amount must be at least 0 and at most 100000 USD"]),
        ("roles: {r: {models: [a/x], patience: often}}", ["2:38: not a duration; write 30s, 500ms, 10m or 1h30m"]),
        ("roles: {r: {models: [a/x], on_policy: fail}}", ['2:39: unknown choice "fail"; there are stay, failover']),
        ("roles: {r: {models: [{model: a/x, wait: 3}]}}", [
            '2:35: unknown key "wait"; allowed here: model, weight']),
        ("roles: {r: {models: [{weight: 3}]}}", ['2:22: "model" is missing']),
        ("roles: {r: {models: [{model: a/x, weight: -1}]}}", ["2:43: a weight is a number from 0 to 1000"]),
        ("roles: {r: {models: [{model: gone, weight: 1}, a/x, left]}}", [
            '2:30: unknown model or alias "gone"', '2:53: unknown model or alias "left"']),
        ("models: {x: {model: a/x, price: 3}}", ["2:33: must be a mapping: name: value"]),
        ("models: {x: {model: a/x, price: {input: 3}}}", [
            "2:33: output is missing; write output: 0 if it is free"
        ]),
        ("defaults: {timezone: Europe/Berln}", [
            '2:22: unknown time zone "Europe/Berln"; did you mean "Europe/Berlin"?'
        ]),
        ("defaults: {timezone: Europe}", ['2:22: unknown time zone "Europe"; did you mean "Europe/Rome"?']),
        ("defaults: {timezone: ../x}", ['2:22: unknown time zone "../x"; write Europe/Berlin']),
        ("defaults: {timezone: 2}", ["2:22: not the name of a time zone; write Europe/Berlin"]),
        ("defaults: {week_starts: someday}", [
            '2:25: unknown day "someday"; there are monday, tuesday, wednesday, thursday, friday, saturday, sunday'
        ]),
        ("models: {x: {model: a/x, price: {}}}", [
            "2:33: has no price; write input and output, or another unit (request, image, minute, …)"
        ]),
        ("models: {x: {model: a/x, price: {second: 1, minute: 1}}}", [
            "2:33: write only one of second and minute: they are the same price"
        ]),
        ("models: {x: {model: a/x, price: {character: 1, million_characters: 1}}}", [
            "2:33: write only one of character and million_characters: they are the same price"
        ]),
        ("models: {x: {model: a/x, price: {input: 1, output: 1, hours: [{between: 9-17, input: 1}]}}}", [
            '2:73: not hours of the day; write "16:30-00:30", in UTC'
        ]),
        ("models: {x: {model: a/x, price: {input: 1, output: 1, tiers: [{above: 1k}, {above: 1000, input: 2}]}}}", [
            "2:33: two tiers begin at the same length"
        ]),
        ("models: {x: {model: a/x, price: {input: 3, output: 1, otput: 2}}}", [
            '2:55: unknown key "otput"; did you mean "output"?']),
        ("models: {x: {model: a/x, context: much, strength: 101}}", [
            "2:35: not a number of tokens; write 128k, 1M or 131072",
            "2:51: input should be less than or equal to 100"]),
        ("models: {x: {model: a/x, capabilities: [tools], lacks: [tools]}}", [
            '2:13: "tools" is listed under both capabilities and lacks']),
        ("models: {x: {model: a/x, free: true}, y: {model: a/x, free: false}}", [
            '2:50: contradicts "x" about a/x: whether it is free']),
        ("models: {x: {model: 'role:r', free: true}}\nroles: {r: a/x}", [
            '2:21: "x" stands for a role; say this about a model']),
        ("rules: {images: true}", ["2:8: must be a list: [one, another]"]),
        ("rules: [x]", ["2:9: must be a mapping: {when: {…}, use: …}"]),
        ("rules: [{when: {images: true}}]", ['2:9: "use" is missing']),
        ("rules: [{use: a/x}]", ['2:9: "when" is missing']),
        ("rules: [{when: {}, use: a/x}]", [
            "2:16: has no condition, so the rule would hold for all requests; if it should, write model: '*'"]),
        ("rules: [{when: {images: perhaps}, use: a/x}]", ["2:25: must be true or false"]),
        ("rules: [{when: {image: true}, use: a/x}]", ['2:17: unknown key "image"; did you mean "images"?']),
        ("rules: [{when: {images: true}, use: role:visoin}]\nroles: {vision: a/x}", [
            '2:37: unknown role "visoin"; did you mean "role:vision"?']),
        ("rules: [{when: {images: true}, use: x}, {when: {stream: yes}, use: gone}]", [
            '2:37: unknown model or alias "x"', "2:57: must be true or false", '2:68: unknown model or alias "gone"']),
        ("rules: [{when: {endpoint: chats}, use: a/x}]", ['2:27: unknown endpoint "chats"; did you mean "chat"?']),
        ("rules: [{when: {language: [en]}, use: a/x}]", [
            '2:28: unknown language "en"; there are latin, ru, zh, ja, ko, ar, he, el, hi, th']),
        ("rules: [{when: {prompt_tokens: {}}, use: a/x}]", ["2:32: write min, max or both"]),
        ("rules: [{when: {complexity: {min: 5, max: 4}}, use: a/x}]", ["2:29: min is more than max"]),
        ("rules: [{when: {header: {'a b': x}}, use: a/x}]", ["2:33: not the name of a header"]),
        ("rules: [{when: {model: ''}, use: a/x}]", ["2:24: must not be empty"]),
        ("fallback: {m: [a/x]}\nmodels: {m: auto:cheap}", [
            '3:13: "auto:cheap" is for requests and rules; name models here']),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, text: str, expected: list[str]) -> None:
    """A mistake is named at its place with what was probably meant, and with nothing that only follows from it."""
    assert problems(tmp_path, text) == expected


@pytest.mark.parametrize("provider, expected", [
    ("limits: accounts", 'unknown scope "accounts"; did you mean "account"?'),
    ("probe: never", "must be true or false"),
    ("price: {input: a, output: 1}", 'not an amount of USD; write 2, 0.25 or "$2"'),
])  # fmt: skip
def test_mistakes_in_providers(tmp_path: Path, provider: str, expected: str) -> None:
    """Providers are as strict."""
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, f"providers: {{openai: {{{provider}}}}}")
    assert [one.split(": ", 1)[1] for one in error.value.problems] == [expected]


def test_a_role_that_nobody_can_fill(tmp_path: Path) -> None:
    """If all its models are known to lack what it needs, that is said when the file is loaded."""
    text = "models: {x: {model: a/x, lacks: [vision]}}\nroles: {r: {models: [x], needs: [vision]}}"
    assert loaded(tmp_path, text).warnings == ("no model can serve role:r: all lack something that it needs (vision)",)
    assert loaded(tmp_path, text.replace("[x]", "[x, b/y]")).warnings == ()


def test_the_documentation_knows_every_choice() -> None:
    """docs/routing.md names every policy, built-in route, need and language, and from when a request is hard."""
    document = (Path(__file__).parents[2] / "docs" / "routing.md").read_text(encoding="utf-8")
    words = (*STRATEGIES, *AUTO_ORDERS, *Capability, *LANGUAGES, f"**{HARD}**", f"at most {MOST_FALLBACKS}")
    assert [word for word in words if word not in document] == []
    for name, order in AUTO_ORDERS.items():
        assert f"| `{name}` | `{', '.join(order)}`" in document


def test_experiments(tmp_path: Path) -> None:
    """Arms are written short or long, with presets and shares; one without a key is warned of."""
    config = loaded(
        tmp_path,
        """
providers:
  a: {kind: vllm, base_url: 'http://a.test/v1'}
  b: {kind: openai, api_key: k, models: [m]}
  c: {kind: openai}
presets: {calm: {temperature: 0.1}}
roles: {r: a/x}
models: {m: b/m}
experiments:
  tried: {on: "role:r", share: 20%, sticky: user, arms: {usual: {}, calm: {params: calm, weight: 3}, other: c/z}}
  shadow: {on: m, share: 0.05, mirror: {model: a/x, at_once: 2}}
""",
    )
    found = config.directory.experiments
    tried, shadow = found["role:r"], found["m"]
    assert (tried.name, tried.share, tried.unit, [arm.weight for arm in tried.arms]) == (
        "tried",
        0.2,
        "user",
        [1, 3, 1],
    )
    assert [dict(arm.params.defaults) for arm in tried.arms] == [{}, {"temperature": b"0.1"}, {}]
    assert (shadow.share, shadow.most_copies, shadow.mirror and shadow.mirror.target) == (0.05, 2, "a/x")
    (warning,) = [one for one in config.warnings if "experiment" in one]
    assert warning.startswith('no model of the experiment\'s arm "tried/other" can be used (c/z: no key')


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{on: m, arms: {a: {}}}", "needs two arms to compare, or a mirror"),
        ("{on: m, mirror: b/z}", "say what share of the calls is copied, because copies cost money: share: 5%"),
        ("{on: m, share: 5%, mirror: {}}", "name a model or params, so that a copy differs from its call"),
        ("{on: m, share: 5%, mirror: b/z, arms: {a: {}, b: b/z}}", "has arms and a mirror; make them two experiments"),
        ("{on: m, arms: {a: {weight: 0}, b: {model: b/z, weight: 0}}}", "all its arms have the weight 0"),
        ("{on: m, sticky: usre, arms: {a: {}, b: b/z}}", 'unknown unit "usre"; did you mean "user"?'),
        ("{on: m, arms: {a: {}, b: {params: clam}}}", 'unknown preset "clam"'),
        ("{on: n, arms: {a: {}, b: b/z}}", '"n" is no role or alias'),
    ],
)
def test_mistakes_in_experiments(tmp_path: Path, written: str, problem: str) -> None:
    found = problems(tmp_path, f"models: {{m: b/m}}\nexperiments:\n  x: {written}\n")
    assert any(problem in one and one.startswith("4:") for one in found), found
