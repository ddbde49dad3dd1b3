"""LiteLLM's proxy with one worker, a master key, and no database."""

from __future__ import annotations

from bench.chat import CLIENT_KEY, UPSTREAM_KEY, UPSTREAM_MODEL
from bench.peers import wheel
from bench.targets import Launch, Place, Target, bearer

_CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{port}/v1
      api_key: {upstream_key}
general_settings:
  master_key: {client_key}
litellm_settings:
  telemetry: false
"""


def _launch(place: Place) -> Launch:
    config = _CONFIG.format(
        model=UPSTREAM_MODEL, port=place.upstream_port, upstream_key=UPSTREAM_KEY, client_key=CLIENT_KEY
    )
    path = place.write("litellm.yaml", config)
    argv = (
        str(wheel.command("litellm", "litellm")), "--config", str(path), "--host", "127.0.0.1",
        "--port", str(place.port), "--num_workers", "1", "--telemetry", "False",
    )  # fmt: skip
    env = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it downloads prices while starting
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "AIOHTTP_CONNECTOR_LIMIT": "4096",  # of its upstream connections; 500 to a host would end the memory test
        "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "4096",
    }
    return Launch(argv, "/health/liveliness", place.port, env)


TARGET = Target(
    name="litellm",
    launch=_launch,
    version=lambda: wheel.version("litellm", "litellm"),
    missing=lambda: wheel.missing("litellm", "litellm"),
    # It compresses even small answers; that would be charged to it, and wrk could not check them.
    headers=(bearer(CLIENT_KEY), ("Accept-Encoding", "identity")),
    install=lambda: wheel.install("litellm", "litellm[proxy]"),
    note="proxy, one worker, master key, no database",
)
