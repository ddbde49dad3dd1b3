"""TensorZero: its wheel is a client, but carries the gateway, which it serves on loopback for OpenAI SDKs."""

from __future__ import annotations

from bench.chat import CLIENT_KEY, UPSTREAM_KEY, UPSTREAM_MODEL
from bench.peers import wheel
from bench.targets import Launch, Place, Target, bearer

_CONFIG = """\
[gateway]
observability.enabled = false

[models.{model}]
routing = ["bench"]

[models.{model}.providers.bench]
type = "openai"
api_base = "http://127.0.0.1:{upstream_port}/v1"
model_name = "{model}"
api_key_location = "env::BENCH_UPSTREAM_KEY"
"""

_SERVE = """\
import sys, threading
import tensorzero.tensorzero as tz
gateway = tz._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False)
print(gateway.base_url, flush=True)
threading.Event().wait()
"""


def _launch(place: Place) -> Launch:
    config = _CONFIG.format(upstream_port=place.upstream_port, model=UPSTREAM_MODEL)
    path = place.write("tensorzero.toml", config)
    script = place.write("serve.py", _SERVE)
    argv = (str(wheel.command("tensorzero", "python")), str(script), str(path))
    env = {"BENCH_UPSTREAM_KEY": UPSTREAM_KEY, "TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS": "1"}
    return Launch(
        argv,
        "/openai/v1/chat/completions",  # the embedded gateway has nothing to GET; 405 says that it is there
        place.port,
        env,
        announced=r"http://127\.0\.0\.1:(\d+)/openai",
        ready_status=405,
    )


TARGET = Target(
    name="tensorzero",
    launch=_launch,
    version=lambda: wheel.version("tensorzero", "tensorzero"),
    missing=lambda: wheel.missing("tensorzero", "python"),
    model=f"tensorzero::model_name::{UPSTREAM_MODEL}",
    path="/openai/v1/chat/completions",
    headers=(bearer(CLIENT_KEY),),
    install=lambda: wheel.install("tensorzero", "tensorzero"),
    note="gateway embedded in its Python wheel, no observability, no key check",
)
