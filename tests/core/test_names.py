"""Names: what each spelling resolves to, and what the gateway says about those it cannot resolve."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.abilities import Said
from gateway.core.declared import Alias, Declared, Objection, Role, make_directory, merged
from gateway.core.names import LAST, Directory, nearest, quoted, resolve, resolve_many
from gateway.errors import BadRequest, ModelNotFound, Refusal
from gateway.types import Ability, Capability, LimitScope, Params, Provider, Rejected, RouteKind, Upstream

NO_KEY = "no key; set OPENAI_API_KEY"

OPENROUTER = Provider("openrouter", "openrouter", "https://openrouter.test/v1", models=("google/gemma-3:free",))
OPENAI = Provider("openai", "openai", "https://openai.test/v1", models=("gpt-5",), unusable=NO_KEY)
OLLAMA = Provider("ollama", "ollama", "http://127.0.0.1:11434/v1", models=("gemma3:4b", "shared"))
VLLM = Provider("vllm", "vllm", "http://127.0.0.1:8000/v1", models=("shared",))
RUNPOD = Provider("runpod", "runpod", "https://runpod.test/v1", model_override="org/m", models=("org/m",))
DEMO = Provider("demo", "demo", "demo:", models=("echo",))
PROVIDERS = {one.name: one for one in (OPENROUTER, OPENAI, OLLAMA, VLLM, RUNPOD, DEMO)}

DECLARED = Declared(
    providers=PROVIDERS,
    provider_params={"ollama": Params({"temperature": b"0.7"})},
    aliases={
        "main": Alias("openrouter/big"),
        "boss": Alias("main", Params({"temperature": b"0.1"})),
        "paid": Alias("openai/gpt-5"),
        "small": Alias("gemma3:4b"),
        "everyone": Alias("shared"),
        "vllm/shared": Alias("openrouter/instead"),
    },
    roles={
        "rlm": Role(("main", "small", "main", "openai:gpt-5")),
        "planner": Role(("role:rlm", "boss"), Params({"top_p": b"0.5"})),
        "paid": Role(("paid",)),
        "embedding": Role((), vacancy="nothing makes embeddings"),
    },
    fallback={"main": ("small", "openrouter/big", "paid")},
)
KNOWN, OBJECTIONS = make_directory(DECLARED)


def ids(name: str, directory: Directory = KNOWN) -> list[str]:
    return [one.upstream.id for one in resolve(name, directory).candidates]


@pytest.mark.parametrize(
    "name, kind, expected",
    [
        ("role:rlm", RouteKind.ROLE, ["openrouter/big", "ollama/gemma3:4b"]),  # listed twice, tried once
        ("role:planner", RouteKind.ROLE, ["openrouter/big", "ollama/gemma3:4b"]),  # a role that names a role
        ("main", RouteKind.ALIAS, ["openrouter/big", "ollama/gemma3:4b"]),  # by its own name: with its fallback
        ("boss", RouteKind.ALIAS, ["openrouter/big"]),  # main's fallback is not boss's
        ("small", RouteKind.ALIAS, ["ollama/gemma3:4b"]),  # an alias of a bare id
        ("everyone", RouteKind.ALIAS, ["ollama/shared", "vllm/shared"]),  # all who list it
        ("paid", RouteKind.ALIAS, []),  # known, and nobody can
        ("vllm/shared", RouteKind.ALIAS, ["openrouter/instead"]),  # an alias hides a model of its spelling
        ("ollama/gemma3:4b", RouteKind.MODEL, ["ollama/gemma3:4b"]),
        ("ollama:gemma3:4b", RouteKind.MODEL, ["ollama/gemma3:4b"]),
        ("openrouter/google/gemma-3-27b-it:free", RouteKind.MODEL, ["openrouter/google/gemma-3-27b-it:free"]),
        ("openrouter:google/gemma-3-27b-it:free", RouteKind.MODEL, ["openrouter/google/gemma-3-27b-it:free"]),
        ("openrouter/openai/gpt-5", RouteKind.MODEL, ["openrouter/openai/gpt-5"]),  # only the first segment counts
        ("openai/gpt-5", RouteKind.MODEL, []),  # configured, without its key
        ("runpod/whatever", RouteKind.MODEL, ["runpod/org/m"]),  # it serves one model under any name
        ("runpod:whatever", RouteKind.MODEL, ["runpod/org/m"]),
        ("org/m", RouteKind.MODEL, ["runpod/org/m"]),
        ("google/gemma-3:free", RouteKind.MODEL, ["openrouter/google/gemma-3:free"]),  # no provider called google
        ("gemma3:4b", RouteKind.MODEL, ["ollama/gemma3:4b"]),  # no provider called gemma3
        ("shared", RouteKind.MODEL, ["ollama/shared", "vllm/shared"]),
        ("demo/echo", RouteKind.MODEL, ["demo/echo"]),
    ],
)
def test_resolution(name: str, kind: RouteKind, expected: list[str]) -> None:
    """A name is a role, else an alias, else starts with a provider, else is a model id that someone lists."""
    assert (resolve(name, KNOWN).kind, ids(name)) == (kind, expected)


def test_declared_without_objection() -> None:
    """The directory the table above uses is a valid one."""
    assert OBJECTIONS == ()


@pytest.mark.parametrize(
    "name, message",
    [
        ("gpt-5x", 'unknown model "gpt-5x"; did you mean "gpt-5"?'),
        ("GPT-5X", 'unknown model "GPT-5X"; did you mean "gpt-5"?'),
        ("mian", 'unknown model "mian"; did you mean "main"?'),
        ("rlm", 'unknown model "rlm"; did you mean "role:rlm"?'),
        ("role:planer", 'unknown role "planer"; did you mean "role:planner"?'),
        ("role:xyz", 'unknown role "xyz"; there are role:rlm, role:planner, role:paid, role:embedding'),
        ("role:", 'unknown role ""; there are role:rlm, role:planner, role:paid, role:embedding'),
        ("openai/gpt-6", 'provider "openai" has no key; set OPENAI_API_KEY'),
        ("openai:gpt-6", 'provider "openai" has no key; set OPENAI_API_KEY'),
        ("echo", 'unknown model "echo"'),  # the demo answers to its full name only
        ("", 'unknown model ""'),
        ("openrouter/", 'unknown model "openrouter/"; did you mean "openrouter/big"?'),
        ("qqq\nINFO forged", 'unknown model "qqq\N{REPLACEMENT CHARACTER}INFO forged"'),
        ("q" * 101, f'unknown model "{"q" * 100}…"'),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    """An unknown name is a 404 that names the nearest ones, or the reason why its provider is out."""
    with pytest.raises(ModelNotFound) as refusal:
        resolve(name, KNOWN)
    assert (refusal.value.message, refusal.value.status, refusal.value.param) == (message, 404, "model")


def test_what_is_in_routes_is_what_resolve_says() -> None:
    """`routes.get(name)` may be used before `resolve`: they agree on every known name."""
    assert all(resolve(name, KNOWN) is route for name, route in KNOWN.routes.items())


@pytest.mark.parametrize(
    "default, name, expected",
    [
        (None, "nobody-lists-this", None),
        ("openrouter", "nobody-lists-this", ["openrouter/nobody-lists-this"]),
        ("openrouter", "nobody/lists:this", ["openrouter/nobody/lists:this"]),
        ("openrouter", "shared", ["ollama/shared", "vllm/shared"]),  # someone lists it
        ("openrouter", "role:nobody", None),
        ("openrouter", "", None),
        ("runpod", "nobody-lists-this", ["runpod/org/m"]),
        ("openai", "nobody-lists-this", None),  # it has no key
    ],
)
def test_default_provider(default: str | None, name: str, expected: list[str] | None) -> None:
    """The default provider takes the bare ids that nobody lists, if it can be used."""
    directory, _ = make_directory(Declared(providers=PROVIDERS, default_provider=default))
    if expected is None:
        with pytest.raises(ModelNotFound):
            resolve(name, directory)
    else:
        assert ids(name, directory) == expected


def test_an_unusable_default_provider_is_named() -> None:
    """Who relied on the default provider is told why it did not take the name."""
    directory, _ = make_directory(Declared(providers=PROVIDERS, default_provider="openai"))
    with pytest.raises(ModelNotFound, match='provider "openai" has no key; set OPENAI_API_KEY'):
        resolve("zzzzzz", directory)


def test_rejected_upstreams_are_reported() -> None:
    """A route says which of its upstreams cannot be used and why, each once."""
    reason = (Rejected("openai/gpt-5", NO_KEY),)
    assert [resolve(name, KNOWN).rejected for name in ("role:rlm", "main", "paid", "openai/gpt-5")] == [reason] * 4
    assert resolve("role:embedding", KNOWN).rejected == (Rejected("(nobody)", "nothing makes embeddings"),)


@pytest.mark.parametrize(
    "name, label",
    [
        ("role:rlm", "role:rlm"),
        ("main", "main"),
        ("shared", "shared"),
        ("ollama:gemma3:4b", "ollama/gemma3:4b"),
        ("runpod/made-up-by-the-client", "runpod/org/m"),
        ("openrouter/made-up-by-the-client", "other"),
        ("ollama/made-up-by-the-client", "other"),
    ],
)
def test_labels_are_bounded(name: str, label: str) -> None:
    """What only a request says never becomes a metric label."""
    assert resolve(name, KNOWN).label == label


@pytest.mark.parametrize(
    "name, expected",
    [
        ("ollama/gemma3:4b", {"temperature": b"0.7"}),
        ("ollama/not-configured", {"temperature": b"0.7"}),
        ("gemma3:4b", {"temperature": b"0.7"}),
        ("small", {"temperature": b"0.7"}),
        ("openrouter/big", {}),
        ("boss", {"temperature": b"0.1"}),
        ("role:planner", {"top_p": b"0.5"}),
    ],
)
def test_parameters_are_inherited(name: str, expected: dict[str, bytes]) -> None:
    """Every name gets the parameters of its provider, then of the aliases and roles it goes through."""
    assert resolve(name, KNOWN).candidates[0].params.defaults == expected


@pytest.mark.parametrize(
    "outer, inner, defaults, forced",
    [
        (Params({"a": b"1"}), Params(), {"a": b"1"}, {}),
        (Params({"a": b"1", "b": b"1"}), Params({"a": b"2"}), {"a": b"2", "b": b"1"}, {}),
        (Params({"a": b"1"}), Params({"a": b"null"}), {}, {}),
        (Params(forced={"a": b"1"}), Params({"a": b"2"}), {"a": b"2"}, {"a": b"1"}),
        (Params(forced={"a": b"1"}), Params(forced={"a": b"2"}), {}, {"a": b"2"}),
        (Params(forced={"a": b"1"}), Params(forced={"a": b"null"}), {}, {}),
    ],
)
def test_merging_parameters(outer: Params, inner: Params, defaults: dict[str, bytes], forced: dict[str, bytes]) -> None:
    """The inner level wins key by key, `null` takes away, and only force undoes force."""
    assert merged(outer, inner) == Params(defaults, forced)


def test_discovered_models_come_after_configured_ones() -> None:
    """Discovery adds bare names, behind those who are configured to list them, and never moves those."""
    found = KNOWN.with_discovered({"vllm": ("gemma3:4b", "new"), "nobody": ("x",), "runpod": ("y",)})
    assert ids("gemma3:4b", found) == ["ollama/gemma3:4b", "vllm/gemma3:4b"]
    assert (ids("new", found), resolve("new", found).label) == (["vllm/new"], "other")
    assert not {"x", "y"} & set(found.bare)
    assert found.routes is KNOWN.routes
    assert found.abilities.discovered["vllm"] == {"gemma3:4b": Ability(), "new": Ability()}
    assert "new" not in KNOWN.bare


def test_a_later_discovery_replaces_the_earlier_one() -> None:
    """A model that a provider no longer lists is forgotten; what others list is not."""
    first = KNOWN.with_discovered({"vllm": ("old", "kept"), "ollama": ("theirs",)})
    second = first.with_discovered({"vllm": ("kept",)})
    assert second.bare["kept"] == (Upstream(VLLM, "kept"),)
    assert "old" not in second.bare
    assert ids("theirs", second) == ["ollama/theirs"]
    assert ids("shared", second) == ["ollama/shared", "vllm/shared"]


SEES = Ability(has=frozenset({Capability.VISION}), context_tokens=8192)


def test_discovered_abilities_are_known_under_every_name() -> None:
    """What a list says of a model is in every route to it, and forgotten with the list."""
    found = KNOWN.with_discovered({"ollama": {"gemma3:4b": SEES, "new": SEES}, "nobody": {"x": SEES}})
    for name in ("gemma3:4b", "small", "ollama/gemma3:4b", "new", "ollama/new"):
        assert resolve(name, found).candidates[0].upstream.ability == SEES
    assert [one.upstream.ability for one in resolve("role:rlm", found).candidates] == [Ability(), SEES]
    assert resolve("small", KNOWN).candidates[0].upstream.ability == Ability()
    later = found.with_discovered({"ollama": {"gemma3:4b": Ability()}})
    assert resolve("role:rlm", later) == resolve("role:rlm", KNOWN)
    assert resolve("small", later).candidates[0].upstream.ability == Ability()


def test_the_configuration_is_believed_above_a_list() -> None:
    """What an alias says of its model counts under every name of it; what a provider says, for all its models."""
    declared = Declared(
        providers=PROVIDERS,
        aliases={
            "ours": Alias("ollama/gemma3:4b", said=Said(Ability(context_tokens=4096), free=False)),
            "again": Alias("ours", said=Said(Ability(strength=7))),
        },
        roles={"rlm": Role(("gemma3:4b", "ollama/else"))},
        of_providers={"ollama": Said(Ability(context_tokens=1024), free=True)},
        curated=lambda _provider, _model: Ability(max_output_tokens=1, context_tokens=1),
    )
    directory, objections = make_directory(declared)
    assert objections == ()
    found = directory.with_discovered({"ollama": {"gemma3:4b": SEES, "else": SEES}})
    ours, other = (one.upstream.ability for one in resolve("role:rlm", found).candidates)
    assert ours == Ability(SEES.has, context_tokens=4096, max_output_tokens=1, strength=7)
    assert other == Ability(SEES.has, context_tokens=1024, max_output_tokens=1, free=True)
    assert [resolve(name, found).candidates[0].upstream.ability for name in ("ours", "again", "gemma3:4b")] == [
        ours
    ] * 3


def test_free_models_of_one_account_share_a_limit() -> None:
    """Which limit an upstream is counted by follows from whether it is free, also when that is discovered."""
    provider = replace(OPENROUTER, limit_scope=LimitScope.FREE_ACCOUNT, models=("a", "b"))
    directory, _ = make_directory(Declared(providers={"openrouter": provider}))
    assert resolve("a", directory).candidates[0].upstream.domain == "openrouter/a"
    found = directory.with_discovered({"openrouter": {"a": Ability(free=True), "b": Ability(free=True)}})
    assert [resolve(name, found).candidates[0].upstream.domain for name in "ab"] == ["openrouter:free"] * 2


@pytest.mark.parametrize(
    "names, expected, rejected",
    [
        (("main",), ["openrouter/big", "ollama/gemma3:4b"], ["openai/gpt-5"]),
        (("shared", "openrouter/big"), ["ollama/shared", "vllm/shared", "openrouter/big"], []),
        (("vllm:shared", "shared", "shared"), ["vllm/shared", "ollama/shared"], []),
        (("paid", "small"), ["ollama/gemma3:4b"], ["openai/gpt-5"]),
        (("role:rlm", "role:paid"), ["openrouter/big", "ollama/gemma3:4b"], ["openai/gpt-5"]),
    ],
)
def test_fallbacks_of_a_request(names: tuple[str, ...], expected: list[str], rejected: list[str]) -> None:
    """The candidates of the first name, then those of the others, each upstream once."""
    route = resolve_many(names, KNOWN)
    assert [one.upstream.id for one in route.candidates] == expected
    assert [one.upstream_id for one in route.rejected] == rejected
    assert (route.name, route.kind) == (resolve(names[0], KNOWN).name, resolve(names[0], KNOWN).kind)


def test_fallbacks_stay_fallbacks() -> None:
    """Whatever the order, a fallback ranks below what was asked for."""
    route = resolve_many(("main", "everyone", "demo/echo"), KNOWN)
    assert [(one.upstream.id, one.rank) for one in route.candidates] == [
        ("openrouter/big", 0),
        ("ollama/gemma3:4b", 1),  # the fallback of the alias itself
        ("ollama/shared", 2),
        ("vllm/shared", 2),
        ("demo/echo", LAST),
    ]


def test_the_demo_comes_last() -> None:
    """The demo is free and never fails, so that an order would prefer it; it ranks below all, wherever it is listed."""
    declared = Declared(
        providers=PROVIDERS,
        aliases={"a": Alias("ollama/x")},
        roles={"r": Role(("demo/echo", "a", "vllm/y"), order=("free", "cheapest"))},
        fallback={"a": ("demo/echo", "vllm/z")},
    )
    directory, _ = make_directory(declared)
    assert ids("role:r", directory) == ["ollama/x", "vllm/y", "demo/echo"]
    assert ids("a", directory) == ["ollama/x", "vllm/z", "demo/echo"]
    many = resolve_many(("role:r", "openrouter/big"), directory)
    assert [(one.upstream.id, one.rank) for one in many.candidates][2:] == [("openrouter/big", 1), ("demo/echo", LAST)]


@pytest.mark.parametrize(
    "names, refused, message",
    [
        (("mian", "small"), ModelNotFound, 'unknown model "mian"; did you mean "main"?'),
        (("main", "smal", "shared", "zzzzzz"), ModelNotFound,
         'among the fallbacks: unknown model "smal"; did you mean "small"?; unknown model "zzzzzz"'),
        (("main", "openai/gpt-6"), ModelNotFound, f'among the fallbacks: provider "openai" has {NO_KEY}'),
        ((), BadRequest, "name at least one model"),
        (("main",) * 18, BadRequest, "17 fallbacks; at most 16 are tried"),
    ],
)  # fmt: skip
def test_unknown_fallbacks(names: tuple[str, ...], refused: type[Refusal], message: str) -> None:
    """A name that means nothing is refused, all of them at once."""
    with pytest.raises(refused) as refusal:
        resolve_many(names, KNOWN)
    assert refusal.value.message == message


CHOOSY = Role(
    ("shared", "openrouter/big"), order=("free", "cheapest"), needs=frozenset({Capability.TOOLS}), max_price=5
)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("role:choosy", (("free", "cheapest"), {"tools"}, 5, False)),
        ("role:synonym", (("free", "cheapest"), {"tools"}, 5, True)),  # a role that only renames another
        ("nickname", (("free", "cheapest"), {"tools"}, 5, False)),
        ("role:narrower", (("fastest",), {"tools", "vision"}, 2, False)),
        ("role:wider", (("healthiest",), set(), None, False)),  # with a second target it is a role of its own
        ("everyone", (("healthiest",), set(), None, False)),
        ("shared", (("healthiest",), set(), None, False)),
        ("vllm/other", (("healthiest",), set(), None, False)),
    ],
)
def test_how_a_route_is_chosen_from(name: str, expected: tuple[object, ...]) -> None:
    """A role says its order, needs and ceiling; what only renames it has them too; the others have the defaults."""
    declared = Declared(
        providers=PROVIDERS,
        aliases={"nickname": Alias("role:choosy"), "everyone": Alias("shared")},
        roles={
            "choosy": CHOOSY,
            "synonym": Role(("nickname",), fails_over_on_policy=True),
            "narrower": Role(
                ("role:synonym",),
                order=("fastest",),
                needs=frozenset({Capability.VISION}),
                max_price=2,
                fails_over_on_policy=False,
            ),
            "wider": Role(("role:choosy", "demo/echo")),
        },
        order=("healthiest",),
    )
    directory, objections = make_directory(declared)
    route = resolve(name, directory)
    assert objections == ()
    assert (route.order, set(route.needs), route.max_price, route.fails_over_on_policy) == expected


def test_shares() -> None:
    """The share of a target is divided among those it stands for."""
    declared = Declared(
        providers=PROVIDERS,
        roles={
            "plain": Role(("shared", "openrouter/big")),
            "inner": Role(("shared", "openrouter/big"), weights=(3.0, 1.0)),
            "outer": Role(("role:inner", "demo/echo"), weights=(8.0, 0.0)),
        },
    )
    directory, _ = make_directory(declared)
    weights = {name: [one.weight for one in resolve(f"role:{name}", directory).candidates] for name in declared.roles}
    assert weights == {"plain": [0.5, 0.5, 1.0], "inner": [1.5, 1.5, 1.0], "outer": [3.0, 3.0, 2.0, 0.0]}


def aliases(**targets: str) -> Declared:
    return Declared(providers=PROVIDERS, aliases={name: Alias(target) for name, target in targets.items()})


def roles(**targets: tuple[str, ...]) -> Declared:
    return Declared(providers=PROVIDERS, roles={name: Role(one) for name, one in targets.items()})


@pytest.mark.parametrize(
    "declared, expected",
    [
        (aliases(main="rlm", rlm="main"), [(("models", "rlm"), "names in a circle: main -> rlm -> main")]),
        (aliases(main="main"), [(("models", "main"), "names in a circle: main -> main")]),
        (
            aliases(entry="a", a="b", b="c", c="a"),
            [(("models", "c"), "names in a circle: a -> b -> c -> a")],
        ),
        (
            roles(a=("shared", "role:b"), b=("role:a",)),
            [(("roles", "b", 0), "names in a circle: role:a -> role:b -> role:a")],
        ),
        (
            aliases(main="shared", x="mian", y="mian"),
            [
                (("models", "x"), 'unknown model or alias "mian"; did you mean "main"?'),
                (("models", "y"), 'unknown model or alias "mian"; did you mean "main"?'),
            ],
        ),
        (
            roles(a=("shared", "opnrouter/x")),
            [(
                ("roles", "a", 1),
                'unknown model "opnrouter/x": no provider "opnrouter" is configured; did you mean "openrouter"?',
            )],
        ),
        (roles(a=("b",), b=("shared",)), [(("roles", "a", 0), '"b" is a role; write "role:b"')]),
        (
            roles(a=("role:planer",), planner=("shared",)),
            [(("roles", "a", 0), 'unknown role "planer"; did you mean "role:planner"?')],
        ),
        (
            roles(**{"role:x": ("shared",)}),
            [(("roles", "role:x"), '"role:x" cannot name a role: write it without "role:"')],
        ),
        (
            aliases(**{"role:x": "shared"}),
            [(("models", "role:x"), '"role:x" cannot name an alias: "role:" is for roles')],
        ),
        (
            Declared(providers=PROVIDERS, fallback={"main": ("shared",)}),
            [(("fallback", "main"), 'fallback is for an alias, and "main" is none')],
        ),
        (aliases(x="auto"), [(("models", "x"), '"auto" is for requests and rules; name models here')]),
        (
            Declared(
                providers=PROVIDERS,
                uses=(
                    (("rules", 0, "use"), "auto:free"),
                    (("rules", 1, "use"), "shared"),
                    (("budgets", 2, "to"), "role:x"),
                ),
            ),
            [(("budgets", 2, "to"), 'unknown role "x"; none is configured')],
        ),
        (
            Declared(
                providers=PROVIDERS,
                aliases={
                    "a": Alias("shared", said=Said(free=True)),
                    "b": Alias("vllm/shared", said=Said(free=False)),
                    "c": Alias("role:r", said=Said(free=True)),
                },
                roles={"r": Role(("shared",))},
            ),
            [
                (("models", "b"), 'says of vllm/shared another thing than "a" does: whether it is free'),
                (("models", "c"), '"c" stands for a role; say this of a model'),
            ],
        ),
        (
            Declared(providers=PROVIDERS, default_provider="openruter"),
            [(("defaults", "provider"), 'no provider "openruter" is configured; did you mean "openrouter"?')],
        ),
        (
            Declared(providers={"a/b": OLLAMA}),
            [(("providers", "a/b"),
              '"a/b" cannot name a provider: no "/", ":" or space, and not "role" or "auto"')],
        ),
    ],
)  # fmt: skip
def test_objections(declared: Declared, expected: list[tuple[tuple[str | int, ...], str]]) -> None:
    """Every mistake in what is declared is found once, at its place, and a circle is shown whole."""
    _, objections = make_directory(declared)
    assert [(one.where, one.message) for one in objections] == expected


def test_fallbacks_may_name_each_other() -> None:
    """A fallback is no part of what an alias stands for, so two aliases may back each other."""
    declared = Declared(
        providers=PROVIDERS,
        aliases={"a": Alias("ollama/x"), "b": Alias("vllm/y")},
        fallback={"a": ("b",), "b": ("a",)},
    )
    directory, objections = make_directory(declared)
    assert objections == ()
    assert (ids("a", directory), ids("b", directory)) == (["ollama/x", "vllm/y"], ["vllm/y", "ollama/x"])


def test_a_chain_without_end_is_cut() -> None:
    """A chain of names too long to be meant is an objection, not a RecursionError."""
    long = {f"a{i}": Alias(f"a{i + 1}") for i in range(5000)}
    _, objections = make_directory(Declared(providers=PROVIDERS, aliases=long))
    assert objections[0] == Objection(("models", "a49"), "more than 50 names in a row: a0 -> a1 -> a2 -> …")


def test_wide_roles_are_cheap() -> None:
    """Roles that name each other many times over are expanded once each, not exponentially."""
    wide = {f"r{i}": Role((f"role:r{i + 1}",) * 10) for i in range(40)} | {"r40": Role(("shared",))}
    directory, objections = make_directory(Declared(providers=PROVIDERS, roles=wide))
    assert (objections, ids("role:r0", directory)) == ((), ["ollama/shared", "vllm/shared"])


def test_suggestions_do_not_compare_without_bound() -> None:
    """A stranger's name cannot make the gateway compare forever."""
    assert nearest("a" * 101, ["a" * 100]) == ""
    assert len(quoted("a" * 10_000)) < 110
