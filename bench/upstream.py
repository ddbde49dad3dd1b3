"""Run the two upstreams of the benchmark: nginx for completions, our own server for streams."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import proc
from bench.chat import COMPLETION, MODELS, PROVIDER_HEADERS
from bench.probe import wait_ready
from bench.targets import ROOT, Place, bare_environment, nginx_argv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_JSON = """\
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        default_type application/json;
{headers}
        location = /v1/chat/completions {{ return 200 '{completion}'; }}
        location = /v1/models {{ return 200 '{models}'; }}
        location / {{ return 200 '{{}}'; }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The ports of both."""

    completions: int
    streams: int


def _quoted(body: bytes) -> str:
    text = body.decode()
    assert "'" not in text
    assert "$" not in text
    assert "\\" not in text
    return text


def completions_config(port: int) -> str:
    """Return the server block that answers every chat request with the same completion."""
    headers = "\n".join(f"        add_header {name} {value};" for name, value in PROVIDER_HEADERS)
    return _JSON.format(port=port, headers=headers, completion=_quoted(COMPLETION), models=_quoted(MODELS))


@contextlib.contextmanager
def upstreams(directory: Path, cores: frozenset[int]) -> Iterator[Upstreams]:
    """Run both until the block is left."""
    place = Place(directory / "upstream", proc.free_port(), 0, 0)
    place.directory.mkdir()
    streams = proc.free_port()
    argv = nginx_argv(place, completions_config(place.port))
    log = directory / "upstream.log"
    env = bare_environment(place.directory, {"PYTHONPATH": str(ROOT)})
    server = (sys.executable, "-m", "bench.sse_server", str(streams))
    with (
        proc.process(argv, log=log, cores=cores, env=env) as nginx,
        proc.process(server, log=log, cores=cores, env=env, cwd=ROOT) as sse,
    ):
        deadline = time.monotonic() + 15
        wait_ready(nginx, place.port, "/v1/models", deadline, log)
        wait_ready(sse, streams, "/v1/models", deadline, log)
        yield Upstreams(place.port, streams)
