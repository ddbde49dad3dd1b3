"""`gateway explain` with a call's size: what it would cost with each candidate, and at most."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.cli.command import gateway_async
from tests.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

FILE = """
providers:
  home: {kind: llamacpp, base_url: "http://127.0.0.1:9/v1"}
  cloud: {kind: openai-compatible, base_url: "https://cloud.example.com/v1", api_key: k}
models:
  small: {model: cloud/small, max_output: 1000, price: {input: 0.25, output: 2, cached_input: 0.025}}
  odd: cloud/nobody-has-priced-this
  brief: {model: cloud/brief, context: 2000}
  here: home/tiny
roles:
  work: {models: [here, small, odd]}
"""


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["explain", *args], catch_exceptions=False)


@pytest.fixture(autouse=True)
def file(here: Path) -> Path:
    path = here / "gateway.yaml"
    path.write_text(FILE)
    return path


def test_the_cost_of_a_call() -> None:
    """By the price and its source; what is unknown stays unknown, and what is free is."""
    done = run("role:work", "--tokens", "2000", "--max-tokens", "500")
    assert done.exit_code == 0
    _, _, costs = done.output.partition("\n\nwhat a prompt of 2,000 tokens with an answer of 500 would cost:\n")
    home, small, odd, sum_ = costs.splitlines()
    assert home.split() == ["home/tiny", "free"]
    assert small.split()[:5] == ["cloud/small", "$0.0015", "at", "most", "$0.0015"]
    assert small.endswith("$0.25 input, $0.025 cached input, $2.00 output per million; by config")
    assert odd.split()[:2] == ["cloud/nobody-has-priced-this", "unknown"]
    assert sum_ == "    if all fail late and all bill (3 attempts): at most $0.0015, plus unknown costs"


@pytest.mark.parametrize(
    ("args", "usual", "worst"),
    [
        (("--tokens", "2000"), 500_000, 2_500_000),  # the answer may be as long as the model makes it
        (("--max-tokens", "500"), 1_000_000, 1_000_000),
        (("--tokens", "2000", "--max-tokens", "500"), 1_500_000, 1_500_000),
        (("--tokens", "2000", "--max-tokens", "1000"), 2_500_000, 2_500_000),
    ],
)
def test_for_programs(args: tuple[str, ...], usual: int, worst: int) -> None:
    """Money is an integer and its decimal text, and null where it is not known."""
    said = json.loads(run("role:work", "--json", *args).output)
    home, small, odd = (one["cost"] for one in said["candidates"])
    assert (small["estimate_nanousd"], small["worst_nanousd"]) == (usual, worst)
    assert small["estimate_usd"] == f"0.{usual:09}".rstrip("0")
    assert small["price_nanousd_per_mtok"] == {
        "input": 250_000_000,
        "cached_input": 25_000_000,
        "output": 2_000_000_000,
    }
    assert (home["estimate_nanousd"], home["worst_nanousd"]) == (0, 0)
    assert (odd["estimate_nanousd"], odd["estimate_usd"], odd["price_source"]) == (None, None, None)
    assert (said["worst_nanousd"], said["worst_is_known"]) == (worst, False)


def test_other_units_than_tokens(tmp_path: Path) -> None:
    """Are said, and never look free; what tokens do not tell is not known."""
    file = tmp_path / "gateway.yaml"
    file.write_text(
        """
providers: {shop: {kind: openai-compatible, base_url: "http://shop.test/v1", local: false}}
models:
  flat: {model: shop/flat, price: {request: 0.002}}
  ears: {model: shop/ears, price: {minute: 0.006}}
  pens: {model: shop/pens, price: {input: 5, output: 10, image: 0.04}}
roles: {all: {models: [ears, pens, flat], order: [free, cheapest]}}
"""
    )
    args = ("explain", "role:all", "--config", str(file), "--tokens", "1000")
    said = json.loads(CliRunner().invoke(main, [*args, "--json"]).output)
    costs = {one["upstream"]: one["cost"] for one in said["candidates"]}
    assert list(costs) == ["shop/flat", "shop/ears", "shop/pens"]
    assert [one["free"] for one in said["candidates"]] == [False] * 3
    assert (costs["shop/flat"]["estimate_nanousd"], costs["shop/flat"]["worst_nanousd"]) == (2_000_000, 2_000_000)
    assert (costs["shop/ears"]["estimate_nanousd"], costs["shop/ears"]["worst_nanousd"]) == (None, None)
    assert costs["shop/ears"]["price_nanousd_each"] == {"hour_of_sound": 360_000_000}
    shown = CliRunner().invoke(main, [*args]).output
    assert "$0.002 a request" in shown
    assert "$0.36 an hour of sound; by config, not by the token" in shown
    assert "$5/$10 per Mtok, $0.04 an image" in shown
    assert "free  " not in shown


def test_where_candidates_come_from(file: Path) -> None:
    """Two ways to ask one model are two rows, each with the names that lead to it, through a fallback too."""
    file.write_text(
        FILE.replace("roles:", "  warm: {model: cloud/small, params: {temperature: 1}}\n"
                     "  cold: {model: cloud/small, params: {temperature: 0}}\n"
                     "fallback: {here: [small]}\nroles:\n  arms: {models: [warm, cold]}\n  jobs: here")
    )  # fmt: skip
    lines = [line.split() for line in run("role:arms").output.splitlines() if line.startswith("  ")]
    assert [(line[1], line[-3], line[-2:]) for line in lines] == [
        ("cloud/small#warm", "temperature=1", ["via", "warm"]),
        ("cloud/small#cold", "temperature=0", ["via", "cold"]),
    ]
    told = json.loads(run("role:jobs", "--json").output)["candidates"]
    assert [(one["label"], one["via"]) for one in told] == [
        ("home/tiny", ["here"]),
        ("cloud/small", ["fallback of here", "small"]),
    ]
    told = json.loads(run("role:arms", "--json", "--tokens", "10").output)["candidates"]
    assert [one["params"]["defaults"] for one in told] == [{"temperature": 1}, {"temperature": 0}]


def test_without_a_size_nothing_is_estimated() -> None:
    done = run("role:work")
    assert "would cost" not in done.output
    assert "price unknown" in done.output
    assert "cost" not in json.loads(run("role:work", "--json").output)["candidates"][0]


def test_an_answer_longer_than_the_model_writes_is_not_paid_for() -> None:
    """It is asked all the same, writes what it can, and the account says what may be missing."""
    said = json.loads(run("small", "--json", "--max-tokens", "5000").output)
    (one,) = said["candidates"]
    assert "may have too little room" in one["why"]
    assert (one["estimate_usd"], one["cost"]["worst_nanousd"]) == (0.002, 2_000_000)
    assert said["rejected"] == []


def test_a_prompt_that_is_too_long_is_not_paid_for() -> None:
    """Nobody there can be asked, and the account says why."""
    said = json.loads(run("brief", "--json", "--tokens", "5000").output)
    assert said["candidates"] == []
    assert "its context of 2000 tokens is too short for a prompt of about 5000" in said["rejected"][0]["reason"]
    assert "no upstream would be asked" in run("brief", "--tokens", "5000").output


async def test_by_what_a_running_gateway_knows(file: Path) -> None:
    """The order is its own, the costs are the same."""
    async with serving(FILE) as running:
        env = {"GATEWAY_PORT": str(running.port)}
        done = await gateway_async("explain", "small", "--tokens", "1000", "--json", cwd=file.parent, env=env)
    assert done.json["live"] is True
    assert done.json["candidates"][0]["cost"]["estimate_usd"] == "0.00025"
