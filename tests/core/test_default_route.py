"""Names that nobody lists: which go to the default route, which to the default provider, and which are slips."""

from __future__ import annotations

import pytest

from gateway.core.declared import Alias, Declared, Role, make_directory
from gateway.core.default_route import BUILT_IN, DefaultRoute
from gateway.core.names import Directory, is_guess, resolve
from gateway.errors import ModelNotFound
from gateway.types import Ability, Provider

OPENAI = Provider("openai", "openai", "https://openai.test/v1", models=("gpt-5",))
ROUTER = Provider("openrouter", "openrouter", "https://openrouter.test/v1")
FIXED = Provider("fixed", "runpod", "https://fixed.test/v1", model_override="org/m")
LOCAL = Provider("local", "llamacpp", "http://127.0.0.1:8080/v1", models=("tiny",), local=True)
PROVIDERS = {one.name: one for one in (OPENAI, ROUTER, FIXED, LOCAL)}
KINDS = frozenset({"openai", "openrouter", "llamacpp", "anthropic"})
MAIN = DefaultRoute("role:main")


def directory(
    default: DefaultRoute | None = MAIN, provider: str | None = None, listed: dict[str, tuple[str, ...]] | None = None
) -> Directory:
    found, objections = make_directory(
        Declared(
            providers=PROVIDERS,
            aliases={"claude-local": Alias("role:main"), "main": Alias("local/tiny")},
            roles={"main": Role(("local/tiny",))},
            default_provider=provider,
            default_route=default,
            kinds=KINDS,
        )
    )
    assert objections == ()
    lists = {name: dict.fromkeys(ids, Ability()) for name, ids in (listed or {}).items()}
    return found.with_discovered(lists) if lists else found


def led(name: str, there: Directory) -> tuple[str, list[str]] | None:
    """Return the name of the route and its upstreams; None for a 404."""
    try:
        route = resolve(name, there)
    except ModelNotFound:
        return None
    return route.name, [one.upstream.id for one in route.candidates]


CAUGHT = ("role:main", ["local/tiny"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-6.1-sol", CAUGHT), ("claude-opus-5-5", CAUGHT), ("claude-opus-5-5[1m]", CAUGHT), ("llama3:8b", CAUGHT),
        ("gpt-5", ("gpt-5", ["openai/gpt-5"])),  # a provider lists it
        ("claude-local", ("claude-local", ["local/tiny"])),  # an alias
        ("openai/gpt-9", ("openai/gpt-9", ["openai/gpt-9"])),  # its provider is known
        ("openai:gpt-9", ("openai:gpt-9", ["openai/gpt-9"])),
        # Slips, and names that say where they lead.
        ("opnai/gpt-5", None), ("opnai:gpt-5", None), ("anthropic:claude-5", None), ("openai", None),
        ("role:mian", None), ("auto:best", None), ("nobody/gpt-5", None), ("", None), ("gpt-/", None),
    ],
)  # fmt: skip
def test_what_goes_to_the_default_route(name: str, expected: tuple[str, list[str]] | None) -> None:
    """Known names and known providers come first, and a slip stays a 404."""
    assert led(name, directory()) == expected


def test_a_forgotten_prefix_stays_a_slip() -> None:
    """`reasoning` for `role:reasoning` would otherwise be answered by another role."""
    found, _ = make_directory(
        Declared(providers=PROVIDERS, roles={"main": Role(("tiny",)), "vision": Role(("gpt-5",))}, default_route=MAIN)
    )
    with pytest.raises(ModelNotFound, match='did you mean "role:vision"'):
        resolve("vision", found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gpt-6.1-sol", CAUGHT), ("o3-mini", CAUGHT), ("claude-x", CAUGHT), ("llama3:8b", None), ("olmo-3", None)],
)
def test_only_some_names(name: str, expected: object) -> None:
    """Without a configuration only the names that clients have built in go there."""
    assert led(name, directory(DefaultRoute("role:main", BUILT_IN))) == expected


@pytest.mark.parametrize(
    ("provider", "listed", "name", "expected"),
    [
        # Before a provider has said what it serves, it may well serve the name.
        ("openai", {}, "gpt-6.1-sol", ("gpt-6.1-sol", ["openai/gpt-6.1-sol", "local/tiny"])),
        ("openai", {"local": ("tiny",)}, "gpt-6", ("gpt-6", ["openai/gpt-6", "local/tiny"])),
        ("openai", {"openai": ("gpt-5", "gpt-6")}, "gpt-6", ("gpt-6", ["openai/gpt-6"])),
        ("openai", {"openai": ("gpt-5", "gpt-6")}, "gpt-6.1-sol", CAUGHT),
        ("openrouter", {"openrouter": ("openai/gpt-5",)}, "gpt-6.1-sol", CAUGHT),
        # With a slash it is an id of the default provider, or a slip.
        ("openrouter", {"openrouter": ("openai/gpt-5",)}, "acme/gpt-9", ("acme/gpt-9", ["openrouter/acme/gpt-9"])),
        ("openrouter", {"openrouter": ("openai/gpt-5",)}, "opnrouter/auto", None),
        ("fixed", {}, "gpt-9", ("gpt-9", ["fixed/org/m", "local/tiny"])),  # it serves one model under any name
    ],
)
def test_beside_a_default_provider(
    provider: str, listed: dict[str, tuple[str, ...]], name: str, expected: tuple[str, list[str]] | None
) -> None:
    """The default provider gets the names that it may serve, and the default route stands in for it."""
    assert led(name, directory(MAIN, provider, listed)) == expected


@pytest.mark.parametrize("target", ["main", "claude-local", "role:main", "local/tiny", "tiny", "auto"])
def test_any_name_may_be_the_target(target: str) -> None:
    """A role, an alias, a model with or without its provider, or a choice among all."""
    found = led("gpt-x", directory(DefaultRoute(target)))
    assert found is not None
    assert "local/tiny" in found[1]


@pytest.mark.parametrize("target", ["gpt-nobody", "role:nobody", "gpt-x"])
def test_an_unknown_target_ends_in_a_404(target: str) -> None:
    """Not in a circle. A configuration with such a target is refused before."""
    found, _ = make_directory(Declared(providers=PROVIDERS, default_route=DefaultRoute(target)))
    assert led("gpt-x", found) is None


@pytest.mark.parametrize(
    ("name", "guess"),
    [("gpt-6", True), ("gpt-5", False), ("openai/gpt-9", False), ("role:main", False), ("main", False)],
)
def test_a_guess_makes_the_gateway_look_again(name: str, guess: bool) -> None:  # a column of a table
    """A provider may list the name since the last look."""
    assert is_guess(name, directory()) is guess


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("gpt-6.1-sol", 'set defaults.route, or a rule {when: {model: "gpt-*"}, use: …}'),
        ("claude-opus-5-5", 'set defaults.route, or a rule {when: {model: "claude-*"}, use: …}'),
        ("gpt-5x", 'did you mean "gpt-5"?; to serve names that clients have built in, set defaults.route'),
        ("zzzzzz", "set defaults.route"),
        ("mian", ""),  # it is clear what was meant
        ("opnai/gpt-5", ""),
    ],
)
def test_the_404_names_the_remedy(name: str, remedy: str) -> None:
    """Nobody would look for it: the name is in the client, not in the user's configuration."""
    with pytest.raises(ModelNotFound) as refusal:
        resolve(name, directory(default=None))
    assert remedy in refusal.value.message
    assert ("defaults.route" in refusal.value.message) is bool(remedy)
