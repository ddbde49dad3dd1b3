"""Names: what each spelling resolves to, and what the gateway says about those it cannot resolve."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from gateway.core.abilities import Said
from gateway.core.declared import Alias, Declared, Objection, Role, make_directory
from gateway.core.default_route import remedy
from gateway.core.facts import UNKNOWN
from gateway.core.names import LAST, Directory, nearest, quoted, resolve, resolve_many
from gateway.core.strategies import View, caller_hash, sticky
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
        # A role that names a role. `boss` asks the same model with other parameters, so it is another candidate.
        ("role:planner", RouteKind.ROLE, ["openrouter/big", "ollama/gemma3:4b", "openrouter/big"]),
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
        ("gpt-5x", f'unknown model "gpt-5x"; did you mean "gpt-5"?; {remedy("gpt-5x")}'),
        ("GPT-5X", 'unknown model "GPT-5X"; did you mean "gpt-5"?'),
        ("mian", 'unknown model "mian"; did you mean "main"?'),
        ("rlm", 'unknown model "rlm"; did you mean "role:rlm"?'),
        ("role:planer", 'unknown role "planer"; did you mean "role:planner"?'),
        ("role:xyz", 'unknown role "xyz"; there are role:rlm, role:planner, role:paid, role:embedding'),
        ("role:", 'unknown role ""; there are role:rlm, role:planner, role:paid, role:embedding'),
        ("openai/gpt-6", 'provider "openai" has no key; set OPENAI_API_KEY'),
        ("openai:gpt-6", 'provider "openai" has no key; set OPENAI_API_KEY'),
        ("echo", f'unknown model "echo"; {remedy("echo")}'),  # the demo answers to its full name only
        ("", 'unknown model ""'),
        ("openrouter/", 'unknown model "openrouter/"; did you mean "openrouter/big"?'),
        ("qqq\nINFO forged", f'unknown model "qqq\N{REPLACEMENT CHARACTER}INFO forged"; {remedy("qqq")}'),
        ("q" * 101, f'unknown model "{"q" * 100}…"; {remedy("qqq")}'),
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


GROQ = Provider("groq", "groq", "https://groq.test/v1")
PLAIN = Provider("plain", "openai-compatible", "https://plain.test/v1")
HUB = Provider("hub", "openai-compatible", "https://hub.test/v1")
MISTRAL = Provider("mistral", "mistral", "https://mistral.test/v1")
CLOSED = Provider("closed", "openai", "https://closed.test/v1", models=("gpt-5", "gpt-5-mini"))
OTHERS = {one.name: one for one in (OPENROUTER, OLLAMA, VLLM, RUNPOD, DEMO, GROQ, PLAIN, HUB, MISTRAL, CLOSED)}
LISTS = {
    "openrouter": ("openai/gpt-5", "anthropic/claude-5", "google/gemma-3:free", "mistralai/m"),
    "groq": ("openai/gpt-oss-120b", "qwen/qwen3-32b", "llama-3.3-70b-versatile"),
    "hub": ("Qwen/Qwen3-8B", "deepseek-ai/V3"),
    "plain": ("big", "small"),
}


@pytest.mark.parametrize(
    "default, asked, name, meant",
    [
        # A host of all makers: their ids are its ids, whether its list is known or not.
        ("openrouter", False, "anthropic/claude-opus-4", None),  # a kind, and no provider of that name is configured
        ("openrouter", True, "anthropic/claude-opus-4", None),
        ("openrouter", False, "google/gemma-3-27b-it:free", None),
        ("openrouter", False, "mistralai/mistral-large", None),  # near "mistral", and a maker
        ("openrouter", False, "openai/gpt-5", None),  # near nothing here: the provider of that kind is called "closed"
        ("openrouter", False, "acme/private-model", None),  # near nothing: the provider knows
        ("openrouter", True, "acme/private-model", None),
        ("openrouter", False, "@preset/mine", None),
        ("openrouter", False, "~anthropic/claude-latest", None),
        ("openrouter", False, "gorq/llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("openrouter", True, "closd/gpt-5", "closed/gpt-5"),
        ("openrouter", True, "closd/gpt-99", "closed/gpt-99"),  # what a provider serves need not be known
        ("openrouter", True, "gogle/gemma-3:free", "google/gemma-3:free"),  # a maker misspelt
        ("openrouter", True, "opnai/gpt-5", "openai/gpt-5"),
        ("openrouter", False, "opnrouter/auto", "openrouter/auto"),
        ("openrouter", False, "Mistral/x", "mistral/x"),
        # Hosts of open weights: some makers only.
        ("groq", False, "openai/gpt-oss-20b", None),
        ("groq", True, "openai/gpt-oss-20b", None),
        ("groq", True, "anthropic/claude-9", ""),  # it said what it serves, and nothing of that maker
        ("vllm", False, "Qwen/Qwen3-8B", None),
        ("ollama", False, "hf.co/bartowski/x-GGUF:Q4", None),
        ("ollama", False, "llama3:8b", None),
        ("runpod", False, "opnai/gpt-5", None),  # it serves one model under any name
        # A provider of an unknown kind: as its list says.
        ("hub", True, "Qwen/Qwen3-32B", None),
        ("hub", True, "deepseek-ai/R1", None),
        ("hub", True, "opnrouter/x", "openrouter/x"),
        ("plain", True, "google/gemma", ""),
        ("plain", False, "google/gemma", ""),
        ("plain", False, "anything", None),
        # Makers that serve their own models have no slashes.
        ("closed", False, "opnai/gpt-5", "closed/gpt-5"),  # the provider of that kind, whatever it is called
        ("closed", False, "nobody/gpt-5", ""),
        ("closed", False, "clsoed/gpt-5-mini", "closed/gpt-5-mini"),
        ("closed", False, "clsoed:gpt-5-mini", "closed/gpt-5-mini"),
        ("closed", False, "ft:gpt-5:acme::1", None),
        ("closed", False, "gpt-6", None),
        ("mistral", False, "mistralai/mistral-large", "mistral/mistral-large"),
        ("openrouter", False, "mistarl:large", "mistral/large"),
        ("openrouter", False, "anthropic:claude", ""),  # a kind that is not configured
        ("ollama", False, "anthropic:claude", None),  # there it may be a tag
        ("openrouter", False, "google", None),
        # Half a name.
        ("openrouter", True, "mistral", ""),
        ("openrouter", True, "mistral/", ""),
        ("openrouter", True, "/gpt-5", ""),
        # A forgotten prefix.
        ("openrouter", True, "reasoning", "role:reasoning"),
        ("plain", False, "reasoning", "role:reasoning"),
        # No default provider: nobody takes it, and the message is the same.
        (None, False, "gorq/x", "groq/x"),
        (None, False, "plian/small", "plain/small"),
    ],
)
def test_a_slip_is_not_sent_to_the_default_provider(
    default: str | None, asked: bool, name: str, meant: str | None
) -> None:
    """An unknown first segment is a maker that the default provider serves, or a slip: 404 with what was meant."""
    directory, _ = make_directory(
        Declared(
            providers=OTHERS,
            roles={"reasoning": Role(("gpt-5",))},
            default_provider=default,
            kinds=frozenset({"openai", "anthropic", "groq", "openrouter", "mistral", "ollama", "vllm"}),
        )
    )
    if asked:
        directory = directory.with_discovered(LISTS)
    if meant is None:
        assert ids(name, directory) == [f"{default}/{'org/m' if default == 'runpod' else name}"]
        return
    with pytest.raises(ModelNotFound) as refusal:
        resolve(name, directory)
    assert f'"{meant}"' in refusal.value.message.partition("did you mean")[2] or not meant, refusal.value.message


@pytest.mark.parametrize(
    "default, name, message",
    [
        ("openrouter", "opnrouter/auto", ('unknown model "opnrouter/auto": no provider "opnrouter" is configured; did '
         'you mean "openrouter/auto"?; to ask openrouter for that id, write "openrouter/opnrouter/auto"')),
        ("ollama", "reasoning", 'unknown model "reasoning"; did you mean "role:reasoning"?'),
        (None, "ollma/gemma3:4b", ('unknown model "ollma/gemma3:4b": no provider "ollma" is configured; did you mean '
         '"ollama/gemma3:4b"?')),
        (None, "opnai:x", 'unknown model "opnai:x": no provider "opnai" is configured; did you mean "openai/x"?'),
        ("ollama", "openai", 'unknown model "openai": it is a provider; name one of its models: "openai/MODEL"'),
        (None, "zzz/y", ('unknown model "zzz/y": no provider "zzz" is configured; there are openrouter, openai, '
         "ollama, vllm, runpod")),
    ],
)  # fmt: skip
def test_what_is_said_of_a_slip(default: str | None, name: str, message: str) -> None:
    """The message names what is unknown, what was meant, and how to insist."""
    roles_ = {"reasoning": Role(("shared",))}
    directory, _ = make_directory(Declared(providers=PROVIDERS, roles=roles_, default_provider=default))
    with pytest.raises(ModelNotFound) as refusal:
        resolve(name, directory)
    assert refusal.value.message == message


WARM, COLD = Params({"temperature": b"1"}), Params({"temperature": b"0"})
TWICE = Declared(
    providers=PROVIDERS,
    aliases={
        "warm": Alias("vllm/m", WARM),
        "cold": Alias("vllm/m", COLD),
        "main": Alias("openrouter/big"),
        "boss": Alias("main", COLD),
        "chief": Alias("boss"),
        "lone": Alias("ollama/x"),
        "back": Alias("role:back"),
    },
    roles={
        "arms": Role(("warm", "cold", "warm"), weights=(3.0, 1.0, 1.0), order=("weighted",)),
        "forced": Role(("vllm/m", "main"), Params(forced={"seed": b"1"})),
        "short": Role(("main",)),
        "precise": Role(("main",), COLD),
        "chain": Role(("chief",)),
        "roles": Role(("role:short",)),
        "more": Role(("main", "lone")),
        "part": Role(("role:short", "lone")),
        "back": Role(("main",)),
        "cold": Role(("cold",)),
        "weight": Role(("main",), weights=(3.0,)),
        "none": Role(("lone",)),
        "model": Role(("openrouter/big",)),
    },
    fallback={"main": ("warm", "cold", "boss", "role:short", "main"), "cold": ("lone",)},
)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("role:arms", ["vllm/m#warm", "vllm/m#cold"]),  # one model, two ways to ask it; listed twice, tried once
        ("role:forced", ["vllm/m", "openrouter/big"]),
        ("main", ["openrouter/big#main", "vllm/m#warm", "vllm/m#cold", "openrouter/big#boss"]),
        ("role:short", ["openrouter/big#main", "vllm/m#warm", "vllm/m#cold", "openrouter/big#boss"]),
        ("role:precise", ["openrouter/big", "vllm/m"]),  # its own parameters hold for all
        ("role:chain", ["openrouter/big#chief", "vllm/m#warm", "vllm/m#cold", "openrouter/big#role:short"]),
        ("role:roles", ["openrouter/big#role:short", "vllm/m#warm", "vllm/m#cold", "openrouter/big#boss"]),
        ("role:more", ["openrouter/big", "ollama/x"]),  # it says itself who steps in
        ("role:part", ["openrouter/big", "ollama/x"]),
        ("role:weight", ["openrouter/big#main", "vllm/m#warm", "vllm/m#cold", "openrouter/big#boss"]),
        ("back", ["openrouter/big"]),  # an alias of another name is used by its own, and has its own fallback
        ("role:none", ["ollama/x"]),
        ("role:model", ["openrouter/big"]),  # the model, not the alias
        ("cold", ["vllm/m", "ollama/x"]),
        ("role:cold", ["vllm/m", "ollama/x"]),
        ("boss", ["openrouter/big"]),
    ],
)
def test_candidates_by_name_and_parameters(name: str, expected: list[str]) -> None:
    """What only renames an alias has its fallback; one upstream asked with other parameters is another candidate."""
    directory, objections = make_directory(TWICE)
    assert objections == ()
    assert [one.label for one in resolve(name, directory).candidates] == expected


def test_where_a_candidate_comes_from() -> None:
    """Each candidate keeps the names that led to it, through the fallback too."""
    directory, _ = make_directory(TWICE)
    assert [one.via for one in resolve("role:chain", directory).candidates[:2]] == [
        ("role:chain", "chief", "boss", "main"),
        ("role:chain", "fallback of main", "warm"),
    ]
    assert [one.rank for one in resolve("role:short", directory).candidates] == [0, 1, 2, 3]


def test_arms_have_their_shares_and_callers() -> None:
    """Two ways to ask one model are chosen between like two models: by weight, and by caller."""
    directory, _ = make_directory(TWICE)
    warm, cold = resolve("role:arms", directory).candidates
    assert (warm.weight, cold.weight) == (3.0, 1.0)
    view = View(UNKNOWN, 0, 0.0, 0, Random(1))
    first = 0
    for caller in range(1000):
        view.caller = caller_hash(str(caller))
        first += sticky(warm, view) < sticky(cold, view)
    assert 400 < first < 600


@pytest.mark.parametrize("names, expected", [
    (("warm", "cold"), ["vllm/m#warm", "vllm/m#cold"]),
    (("vllm/m", "cold", "vllm/m"), ["vllm/m", "vllm/m#cold"]),
    (("role:arms", "warm"), ["vllm/m#warm", "vllm/m#cold"]),
])  # fmt: skip
def test_fallbacks_of_a_request_with_other_parameters(names: tuple[str, ...], expected: list[str]) -> None:
    """A request may name the ways to ask a model one after the other."""
    directory, _ = make_directory(TWICE)
    assert [one.label for one in resolve_many(names, directory).candidates] == [
        *expected,
        *(["ollama/x"] * ("cold" in names)),
    ]


def test_fallbacks_in_a_circle_are_no_circle() -> None:
    """An alias whose fallback is a role of that very alias: each is tried once."""
    declared = Declared(
        providers=PROVIDERS,
        aliases={"a": Alias("ollama/x"), "b": Alias("vllm/y")},
        roles={"r": Role(("a",)), "s": Role(("b",))},
        fallback={"a": ("role:s",), "b": ("role:r",)},
    )
    directory, objections = make_directory(declared)
    assert (objections, ids("role:r", directory), ids("role:s", directory)) == (
        (), ["ollama/x", "vllm/y"], ["vllm/y", "ollama/x"]
    )  # fmt: skip


def test_parameters_that_multiply_candidates_are_named() -> None:
    """Two ways at each of fifteen levels are 32,768 candidates: a mistake, not an endless start."""
    aliases_: dict[str, Alias] = {}
    roles_ = {"r15": Role(("shared",))}
    for i in range(15):
        aliases_[f"a{i}"] = Alias(f"role:r{i + 1}", Params({f"p{i}": b"1"}))
        aliases_[f"b{i}"] = Alias(f"role:r{i + 1}", Params({f"p{i}": b"2"}))
        roles_[f"r{i}"] = Role((f"a{i}", f"b{i}"))
    _, objections = make_directory(Declared(providers=PROVIDERS, aliases=aliases_, roles=roles_))
    assert "stands for more than 500 candidates" in objections[0].message


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
         f'among the fallbacks: unknown model "smal"; did you mean "small"?; unknown model "zzzzzz"; {remedy("z")}'),
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
            [(("fallback", "main"), 'fallback is for an alias, and "main" is not one')],
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
                (("models", "b"), 'contradicts "a" about vllm/shared: whether it is free'),
                (("models", "c"), '"c" stands for a role; say this about a model'),
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
