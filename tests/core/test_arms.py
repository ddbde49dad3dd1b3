"""The routes of arms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.arms import DeclaredArm, DeclaredExperiment
from gateway.core.declared import Alias, Declared, Objection, Role, make_directory
from gateway.types import Ability, Params, Provider

SHOP = Provider("shop", "openai-compatible", "https://shop.test/v1", models=("m", "n"))
COOL = Params({"temperature": b"0.2"})
DECLARED = Declared(
    providers={"shop": SHOP},
    aliases={"main": Alias("shop/m")},
    roles={"rlm": Role(("main",)), "dear": Role(("shop/o", "shop/n"), order=("cheapest",))},
)


def tried(**arms: DeclaredArm) -> Declared:
    return replace(DECLARED, experiments={"x": DeclaredExperiment("role:rlm", arms)})


def test_two_arms_of_one_upstream_stay_two() -> None:
    """They differ only in their parameters. An arm with models of its own falls back to the usual ones."""
    directory, objections = make_directory(
        tried(usual=DeclaredArm(), cool=DeclaredArm(params=COOL), dear=DeclaredArm("role:dear", COOL, 2.0))
    )
    assert objections == ()
    experiment = directory.experiments["role:rlm"]
    found = {
        arm.route.arm: [(one.upstream.id, dict(one.params.defaults)) for one in arm.route.candidates]
        for arm in experiment.arms
    }
    cool = {"temperature": b"0.2"}
    assert found == {
        "x/usual": [("shop/m", {})],
        "x/cool": [("shop/m", cool)],
        "x/dear": [("shop/o", cool), ("shop/n", cool), ("shop/m", {})],
    }
    assert {arm.route.name for arm in experiment.arms} == {"role:rlm"}
    assert [arm.route.order for arm in experiment.arms] == [("listed",), ("listed",), ("cheapest",)]
    assert [one.rank for one in experiment.arms[2].route.candidates] == [0, 0, 1]
    assert directory.routes["role:rlm"].arm == ""


def test_a_mirror_has_two_arms_too() -> None:
    """The calls of clients are one, their copies the other. A copy has no fallback."""
    declared = DeclaredExperiment("main", mirror=DeclaredArm("shop/n"), share=0.1, most_copies=3)
    directory, objections = make_directory(replace(DECLARED, experiments={"shadow": declared}))
    assert objections == ()
    experiment = directory.experiments["main"]
    assert experiment.mirror is not None
    assert [arm.route.arm for arm in (*experiment.arms, experiment.mirror)] == ["shadow/original", "shadow/copy"]
    assert [one.upstream.id for one in experiment.mirror.route.candidates] == ["shop/n"]
    assert (experiment.share, experiment.most_copies) == (0.1, 3)


def test_arms_learn_what_lists_say() -> None:
    directory, _ = make_directory(tried(usual=DeclaredArm(), other=DeclaredArm("shop/n")))
    renewed = directory.with_discovered({"shop": {"n": Ability(context_tokens=8)}})
    arm = renewed.experiments["role:rlm"].arms[1]
    assert arm.route.candidates[0].upstream.ability.context_tokens == 8


@pytest.mark.parametrize(
    ("declared", "objection"),
    [
        (
            {"x": DeclaredExperiment("role:rml", {"a": DeclaredArm(), "b": DeclaredArm("shop/n")})},
            Objection(("experiments", "x", "on"), '"role:rml" is no role or alias; did you mean "role:rlm"?'),
        ),
        (
            {"x": DeclaredExperiment("shop/m", {"a": DeclaredArm(), "b": DeclaredArm("shop/n")})},
            Objection(
                ("experiments", "x", "on"), '"shop/m" is no role or alias; there are main, role:rlm, role:dear'
            ),
        ),
        (
            {"x": DeclaredExperiment("main", {"a": DeclaredArm(), "b": DeclaredArm("shop/m")})},
            Objection(
                ("experiments", "x", "arms", "b"), 'asks the same models with the same parameters as the arm "a"'
            ),
        ),
        (
            {
                "x": DeclaredExperiment("main", {"a": DeclaredArm(), "b": DeclaredArm("shop/n")}),
                "y": DeclaredExperiment("main", mirror=DeclaredArm("shop/n")),
            },
            Objection(("experiments", "y", "on"), 'main already has the experiment "x"; one name has one at a time'),
        ),
        (
            {"x": DeclaredExperiment("main", {"a": DeclaredArm(), "b": DeclaredArm("auto")})},
            Objection(
                ("experiments", "x", "arms", "b", "model"), '"auto" is for requests and rules; name models here'
            ),
        ),
    ],
)  # fmt: skip
def test_mistakes(declared: dict[str, DeclaredExperiment], objection: Objection) -> None:
    _, objections = make_directory(replace(DECLARED, experiments=declared))
    assert objection in objections


def test_an_arm_that_cannot_be_used_yet() -> None:
    """Its calls go to the usual models, and `check` has nothing against it: a key may come with the next start."""
    keyless = Provider("other", "openai", "https://other.test/v1", models=("big",), unusable="no key")
    declared = replace(
        tried(usual=DeclaredArm(), big=DeclaredArm("other/big")), providers={"shop": SHOP, "other": keyless}
    )
    directory, objections = make_directory(declared)
    assert objections == ()
    arm = directory.experiments["role:rlm"].arms[1].route
    assert [one.upstream.id for one in arm.candidates] == ["shop/m"]
    assert [(one.upstream_id, one.reason) for one in arm.rejected] == [("other/big", "no key")]


def test_an_unknown_model_is_one_mistake() -> None:
    _, objections = make_directory(tried(usual=DeclaredArm(), other=DeclaredArm("shap/n")))
    assert [one.where for one in objections] == [("experiments", "x", "arms", "other", "model")]
