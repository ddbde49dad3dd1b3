"""What is a secret, and how it is kept out of what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import shields
from gateway.config.environment import parse_dotenv

SECRET = "sk-sentinel-0123456789"


@pytest.mark.parametrize(
    ("tree", "shown"),
    [
        ({"providers": {"a": {"api_key": SECRET}}}, {"providers": {"a": {"api_key": "***"}}}),
        (
            {"providers": {"a": {"admin_key": SECRET, "kind": "x"}}},
            {"providers": {"a": {"admin_key": "***", "kind": "x"}}},
        ),
        ({"providers": {"a": {"headers": {"x-b": SECRET}}}}, {"providers": {"a": {"headers": {"x-b": "***"}}}}),
        ({"server": {"api_keys": [SECRET, "${X:-}"]}}, {"server": {"api_keys": ["***", "${X:-}"]}}),
        ({"stores": {"redis": "redis://u:p@h"}}, {"stores": {"redis": "***"}}),
        ({"alerts": {"webhook": "https://h/t", "on": ["quota"]}}, {"alerts": {"webhook": "***", "on": ["quota"]}}),
        ({"budgets": [{"webhook": "https://h/t"}]}, {"budgets": [{"webhook": "***"}]}),
    ],
)
def test_secrets_are_masked(tree: dict[str, Any], shown: dict[str, Any]) -> None:
    assert shields.shown(tree) == shown
    assert len(list(shields.masked_in(shields.shown(tree)))) == 1


@pytest.mark.parametrize(
    ("value", "is_shown"),
    [
        ("${X}", True), ("${X:-}", True), ("${X:?say so}", True), ("", True), (None, True),
        ("${X:-sk-literal}", False), ("Bearer ${X}", False), ("$X", False), ("x${X}", False), (12345, False),
    ],
)  # fmt: skip
def test_a_reference_is_no_secret(value: Any, is_shown: bool) -> None:  # a column
    """Unless the secret is in it."""
    assert (shields.shown(value, ("providers", "a", "api_key")) == value) is is_shown


def test_parting() -> None:
    """The secret goes one way, a reference the other; names that look alike get different references."""
    tree = {"a-b": {"api_key": SECRET, "kind": "vllm"}, "a_b": {"api_key": "${OWN}", "headers": {"x": "é$y"}}}
    clean, secrets = shields.parted(tree, ("providers",), "n")
    assert sorted(secrets.values()) == [SECRET, "é$y"]
    assert shields.reference(clean["a-b"]["api_key"]) in secrets
    assert (clean["a_b"]["api_key"], clean["a-b"]["kind"]) == ("${OWN}", "vllm")
    assert shields.named(clean) == secrets.keys()
    one, other = (shields.variable(("providers", name, "api_key"), "n") for name in ("a-b", "a_b"))
    assert one.rpartition("_")[0] == other.rpartition("_")[0]
    assert one != other != shields.variable(("providers", "a_b", "api_key"), "m")


@pytest.mark.parametrize("value", [SECRET, "with space", 'quo"te', "back\\slash", "d$llar", "#", "é", "'"])
def test_secrets_are_read_back(value: str) -> None:
    assert parse_dotenv(shields.env_of({"GATEWAY_SECRET_A": value})) == ({"GATEWAY_SECRET_A": value}, [])


def test_what_cannot_be_a_secret() -> None:
    with pytest.raises(ValueError, match="GATEWAY_SECRET_A has a control character"):
        shields.env_of({"GATEWAY_SECRET_A": "x\nGATEWAY_SECRET_B=y"})


def test_secrets_that_are_left_out_stay() -> None:
    """A client cannot send back what it cannot read. It removes a secret with null."""
    now = {"kind": "vllm", "api_key": "${X}", "headers": {"a": "1", "b": "2"}}
    kept = shields.kept_back(now, {"base_url": "u", "headers": {"a": "3"}}, ("providers", "p"))
    assert kept == {"base_url": "u", "headers": {"a": "3", "b": "2"}, "api_key": "${X}"}
    assert shields.kept_back(now, {"api_key": None}, ("providers", "p")) == {"api_key": None}
