"""Where each effective parameter comes from."""

from __future__ import annotations

from pathlib import Path

from gateway.config import overlay, source
from gateway.config.loading import Ground, resolved
from gateway.config.origins import effective
from gateway.config.overlay import Layer
from gateway.core.presets import resolved as route_of

FILE = """\
defaults: {params: {temperature: 0.7, max_tokens: 100}}
providers:
  shop:
    base_url: "http://127.0.0.1:1/v1"
    models: [m]
    params: {clamp: {temperature: [0, 1]}, drop: [user]}
    quirks: {rename: {max_tokens: most}}
models:
  main:
    model: shop/m
    params: {default: {top_p: 0.5}, drop: [seed, user]}
  other: {model: shop/n, params: terse}
roles:
  chat:
    models: [main]
    params:
      force: {top_k: 3}
fallback: {main: [other]}
presets:
  terse: {max_tokens: 9}
"""
OVER = "roles: {chat: {params: {temperature: 0.2}}}\n"


def origins(name: str) -> list[tuple[str, str, object, list[str]]]:
    """Return verb, field, value and origins of the first candidate of a name."""
    ground, layer = Ground("gateway.yaml", FILE, {}), Layer(Path("overlay.yaml"), OVER)
    route = route_of(name, resolved(ground, layer).directory)
    merged = overlay.merged(source.read(FILE, {}), source.read(OVER, {}), "overlay.yaml")
    return [
        (one.verb, one.field, one.value, [f"{o.level} {o.path} {o.file}:{o.line}" for o in one.origins])
        for one in effective(route.candidates[0], route.preset, merged, "gateway.yaml")
    ]


def test_levels() -> None:
    """The level that decides, with its file and line; drops and clamps of every level."""
    shop = "provider:shop providers.shop"
    assert origins("role:chat") == [
        ("default", "temperature", 0.2, ["role:chat roles.chat.params.temperature overlay.yaml:1"]),
        ("default", "max_tokens", 100, ["global defaults.params.max_tokens gateway.yaml:1"]),
        ("default", "top_p", 0.5, ["main models.main.params.default.top_p gateway.yaml:11"]),
        ("force", "top_k", 3, ["role:chat roles.chat.params.force.top_k gateway.yaml:17"]),
        ("drop", "seed", True, ["main models.main.params.drop gateway.yaml:11"]),
        ("drop", "user", True, ["main models.main.params.drop gateway.yaml:11", f"{shop}.params.drop gateway.yaml:6"]),
        ("rename", "max_tokens", "most", [f"{shop}.quirks.rename.max_tokens gateway.yaml:7"]),
        ("clamp", "temperature", [0, 1], [f"{shop}.params.clamp.temperature gateway.yaml:6"]),
    ]


def test_presets() -> None:
    """One that a request chooses is the innermost level; one that an alias names stands for its place."""
    found = {field: where for verb, field, _, where in origins("role:chat@creative") if verb == "default"}
    assert found["temperature"] == ["preset:creative presets.creative.temperature :0"]
    found = {field: where for verb, field, _, where in origins("other") if verb == "default"}
    assert found["max_tokens"] == ["preset:terse presets.terse.max_tokens gateway.yaml:20"]
