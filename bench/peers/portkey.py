"""Portkey's open-source gateway on Node; the request itself names the upstream."""

from __future__ import annotations

import json
import shutil
import subprocess

from bench.chat import UPSTREAM_KEY
from bench.targets import PEERS, Launch, Place, Target, bearer

INSTALL_S = 300

_HOME = PEERS / "portkey"
_PACKAGE = _HOME / "node_modules" / "@portkey-ai" / "gateway"


def _launch(place: Place) -> Launch:
    server = _PACKAGE / "build" / "start-server.js"
    env = {"NODE_ENV": "production"}
    return Launch(("node", str(server), f"--port={place.port}", "--headless"), "/", place.port, env)


def _install() -> None:
    _HOME.mkdir(parents=True, exist_ok=True)
    argv = ("npm", "install", "--prefix", str(_HOME), "--no-audit", "--no-fund", "@portkey-ai/gateway")
    subprocess.run(argv, check=True, timeout=INSTALL_S)


def _version() -> str:
    return str(json.loads((_PACKAGE / "package.json").read_text())["version"])


def _missing() -> str | None:
    if not shutil.which("node"):
        return "node is not installed"
    return None if _PACKAGE.exists() else "not installed (python -m bench install-peers)"


TARGET = Target(
    name="portkey",
    launch=_launch,
    version=_version,
    missing=_missing,
    headers=(
        bearer(UPSTREAM_KEY),
        ("x-portkey-provider", "openai"),
        ("x-portkey-custom-host", "http://127.0.0.1:{upstream_port}/v1"),
    ),
    # 1.15.2 on Node 20: it appends to the headers of the upstream's own response, which are immutable.
    cannot_stream='answers streams with 500 ("TypeError: immutable" in its updateHeaders)',
    install=_install,
    note="Node, headless, no key check of its own",
)
