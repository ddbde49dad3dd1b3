"""`auto` and its kin: what they choose from, in which order, and who is left out."""

from __future__ import annotations

import pickle

import pytest

from gateway.core.declared import Alias, Declared, Role, make_directory
from gateway.core.names import AUTO_ORDERS, Directory, resolve
from gateway.core.strategies import STRATEGIES
from gateway.errors import ModelNotFound
from gateway.types import Ability, Capability, Params, Price, Provider, Rejected, RouteKind

LOCAL = Provider("ollama", "ollama", "http://127.0.0.1:11434/v1", models=("gemma3:4b", "nomic-embed-text"), local=True)
PAID = Provider("openai", "openai", "https://openai.test/v1", models=("gpt-5", "whisper-1", "vectors"))
NO_KEY = Provider("groq", "groq", "https://groq.test/v1", models=("llama",), unusable="no key")
DEMO = Provider("demo", "demo", "demo:", models=("echo",), local=True)


def curated(provider: Provider, model: str) -> Ability:
    if model == "vectors":
        return Ability(has=frozenset({Capability.EMBEDDINGS}))
    return Ability(free=provider.local, price=None if provider.local else Price(10**9, 10**9))


def directory(*providers: Provider, aliases: dict[str, Alias] | None = None) -> Directory:
    declared = Declared(
        providers={one.name: one for one in providers},
        provider_params={"openai": Params({"seed": b"1"})},
        aliases=aliases or {},
        roles={"rlm": Role(("openai/gpt-5-mini",), Params({"temperature": b"0"}))} if PAID in providers else {},
        curated=curated,
    )
    found, objections = make_directory(declared)
    assert objections == ()
    return found


ALL = directory(LOCAL, PAID, NO_KEY, DEMO)


def ids(name: str, known: Directory = ALL) -> list[str]:
    return [one.upstream.id for one in resolve(name, known).candidates]


@pytest.mark.parametrize("name", AUTO_ORDERS)
def test_orders(name: str) -> None:
    """Each of them is a route with policies that exist, found by a look-up."""
    route = ALL.routes[name]
    assert resolve(name, ALL) is route
    assert (route.kind, route.order, route.label) == (RouteKind.AUTO, AUTO_ORDERS[name], name)
    assert set(route.order) <= set(STRATEGIES)


def test_everything_that_chats() -> None:
    """Roles come first, then what providers list; who cannot be used or does not chat is named with the reason."""
    route = resolve("auto", ALL)
    assert ids("auto") == ["openai/gpt-5-mini", "ollama/gemma3:4b", "openai/gpt-5"]
    assert route.rejected == (
        Rejected("ollama/nomic-embed-text", "not for chat"),
        Rejected("openai/whisper-1", "not for chat"),
        Rejected("openai/vectors", "not for chat"),
        Rejected("groq/llama", "no key"),
    )


def test_only_what_costs_nothing() -> None:
    """`auto:free` never spends money, and says so of each that would."""
    assert ids("auto:free") == ["ollama/gemma3:4b"]
    assert Rejected("openai/gpt-5", "costs money") in resolve("auto:free", ALL).rejected


def test_parameters_are_the_providers() -> None:
    """What a role adds to calls is the role's: `auto` takes the model without it."""
    assert resolve("auto", ALL).candidates[0].params == Params({"seed": b"1"})


@pytest.mark.parametrize(
    "known, expected",
    [
        (directory(DEMO), ["demo/echo"]),
        (directory(DEMO, NO_KEY), ["demo/echo"]),
        (directory(DEMO, Provider("e", "vllm", "http://e/v1", models=("bge-m3",))), ["demo/echo"]),
        (directory(DEMO, LOCAL), ["ollama/gemma3:4b"]),
        (directory(NO_KEY), []),
    ],
)
def test_the_demo_is_for_whoever_has_nothing_else(known: Directory, expected: list[str]) -> None:
    """With nothing that chats, `auto` answers how to add a key."""
    assert ids("auto", known) == expected


def test_an_alias_wins() -> None:
    """Who calls an alias auto gets that, and keeps the others."""
    known = directory(LOCAL, aliases={"auto": Alias("ollama/mine"), "auto:cheap": Alias("ollama/other")})
    assert (ids("auto", known), ids("auto:cheap", known)) == (["ollama/mine"], ["ollama/other"])
    assert ids("auto:fast", known) == ["ollama/mine", "ollama/other", "ollama/gemma3:4b"]
    later = known.with_discovered({"ollama": ("new",)})
    assert ids("auto", later) == ["ollama/mine"]


def test_unknown_choices() -> None:
    """A misspelled choice is not sent to the default provider as if it were a model."""
    with pytest.raises(ModelNotFound, match='unknown choice "auto:chaep"; there are auto, auto:hard, auto:cheap'):
        resolve("auto:chaep", ALL)


def test_discovery_changes_the_choice() -> None:
    """What a provider's list says about configured models counts; models that are only discovered are not chosen."""
    found = ALL.with_discovered({
        "openai": {
            "gpt-5": Ability(price=Price(0, 0), free=True),
            "gpt-5-mini": Ability(has=frozenset({Capability.EMBEDDINGS})),
            "gpt-6": Ability(free=True),
        }
    })  # fmt: skip
    assert ids("auto", found) == ["ollama/gemma3:4b", "openai/gpt-5"]
    assert ids("auto:free", found) == ["ollama/gemma3:4b", "openai/gpt-5"]


def test_a_directory_goes_to_worker_processes() -> None:
    """A configuration is sent to workers with all it knows."""
    assert pickle.loads(pickle.dumps(ALL)) == ALL  # noqa: S301  # our own
