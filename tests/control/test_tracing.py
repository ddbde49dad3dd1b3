"""The parameters of a name, as the admin API and the commands show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import load
from gateway.control.desk import Desk
from gateway.control.ground import grounds_of
from gateway.control.tracing import traced
from gateway.core.presets import resolved
from gateway.stores.overlay import OverlayStore

if TYPE_CHECKING:
    from pathlib import Path


def test_every_candidate_is_traced(tmp_path: Path) -> None:
    """Variables are filled in, as in the calls."""
    file = tmp_path / "gateway.yaml"
    file.write_text(
        'providers: {a: {base_url: "http://127.0.0.1:1/v1", models: [x, y]}}\n'
        "roles:\n  r:\n    models: [a/x, a/y]\n    params:\n      temperature: '${T}'\n      top_p: ${T}\n"
    )
    environ = {"GATEWAY_STATE_DIR": str(tmp_path), "T": "0.5"}
    desk = Desk(grounds_of(str(file), environ), OverlayStore(environ, str(file)))
    first, second = traced(desk.look(), resolved("role:r", load(file, environ).directory))
    assert (first["upstream"], second["upstream"]) == ("a/x", "a/y")
    origin = {"level": "role:r", "path": "roles.r.params.top_p", "file": str(file), "line": 7}
    assert first["params"][1] == {"verb": "default", "field": "top_p", "value": 0.5, "origins": [origin]}
    assert first["params"][0]["value"] == "0.5"
