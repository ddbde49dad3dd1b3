"""SMG (Shepherd Model Gateway, Rust) routing to one OpenAI-compatible worker."""

from __future__ import annotations

from bench.chat import CLIENT_KEY
from bench.peers import wheel
from bench.targets import Launch, Place, Target, bearer


def _launch(place: Place) -> Launch:
    argv = (
        str(wheel.command("smg", "smg")), "launch", "--backend", "openai",
        "--worker-urls", f"http://127.0.0.1:{place.upstream_port}",
        "--host", "127.0.0.1", "--port", str(place.port),
        "--prometheus-host", "127.0.0.1", "--prometheus-port", str(place.spare_port),
        "--history-backend", "none", "--log-level", "error", "--policy", "round_robin",
    )  # fmt: skip
    return Launch(argv, "/readiness", place.port)


TARGET = Target(
    name="smg",
    launch=_launch,
    version=lambda: wheel.version("smg", "smg"),
    missing=lambda: wheel.missing("smg", "smg"),
    headers=(bearer(CLIENT_KEY),),
    install=lambda: wheel.install("smg", "smg"),
    note="openai backend, one worker URL, metrics on, no history",
)
