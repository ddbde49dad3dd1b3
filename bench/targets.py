"""Name what can be measured and how it is started: the gateway, nginx as the yardstick, and the peers."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from bench.chat import ADMIN_KEY, CLIENT_KEY, SDK_HEADERS, UPSTREAM_KEY, UPSTREAM_MODEL
from bench.machine import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / ".peers"

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance of a target lives."""

    directory: Path
    """Empty and temporary: for its configuration and state."""
    port: int
    upstream_port: int
    spare_port: int
    """For an admin or metrics listener."""

    def write(self, name: str, text: str) -> Path:
        """Write a configuration file."""
        path = self.directory / name
        path.write_text(text)
        return path


@dataclass(frozen=True, slots=True)
class Launch:
    """How an instance is started."""

    argv: tuple[str, ...]
    ready_path: str
    """Answers 200 as soon as requests are served."""
    ready_port: int
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to a bare environment: no credentials and no proxies of the caller's."""
    announced: str | None = None
    """A target that chooses its own port prints it: a pattern with one group."""
    ready_status: int = 200


@dataclass(frozen=True, slots=True)
class Target:
    """Something that forwards chat requests."""

    name: str
    launch: Callable[[Place], Launch]
    version: Callable[[], str]
    missing: Callable[[], str | None]
    """Why it cannot run here, or None."""
    model: str = UPSTREAM_MODEL
    path: str = "/v1/chat/completions"
    headers: tuple[Header, ...] = ()
    """Besides what an SDK sends, which they replace; `{upstream_port}` in a value stands for itself."""
    exact: bool = False
    """It promises the upstream's bytes; otherwise only the answer they spell is compared."""
    beside: Callable[[Place], tuple[str, ...]] | None = None
    """The command of what looks on, once it is ready. It runs where the load runs."""
    cannot_stream: str | None = None
    """Why its streams are not measured, or None."""
    install: Callable[[], None] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running target, or the upstream itself, as a client sees it."""

    target: Target
    port: int
    upstream_port: int

    def headers(self) -> tuple[Header, ...]:
        """Return the header of every request, without host and content-length."""
        own = {name.lower() for name, _ in self.target.headers}
        port = str(self.upstream_port)
        return (
            *(line for line in SDK_HEADERS if line[0].lower() not in own),
            *((name, value.replace("{upstream_port}", port)) for name, value in self.target.headers),
        )


def bearer(key: str) -> Header:
    """Return the header that carries an API key."""
    return ("Authorization", f"Bearer {key}")


def bare_environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which no key, proxy or setting of the caller's can change a result."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1,localhost", **extra}


NGINX_FRAME = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server_tokens off;
{inner}
}}
"""

_NGINX_PROXY = """\
    upstream provider {{
        server 127.0.0.1:{upstream_port};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 3600s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location = /readyz {{ return 200; }}
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
    }}
"""


def nginx_argv(place: Place, inner: str) -> tuple[str, ...]:
    """Return the command that runs nginx with these blocks inside `http`."""
    path = place.write("nginx.conf", NGINX_FRAME.format(directory=place.directory, inner=inner))
    return (nginx_command(), "-e", "stderr", "-p", str(place.directory), "-c", str(path))


def nginx_command() -> str:
    """Return where nginx is; Debian keeps it out of an ordinary user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or "nginx"


def _nginx_launch(place: Place) -> Launch:
    inner = _NGINX_PROXY.format(port=place.port, upstream_port=place.upstream_port)
    return Launch(nginx_argv(place, inner), "/readyz", place.port)


def _nginx_version() -> str:
    return first_line(nginx_command(), "-v").rpartition("/")[2]


NGINX = Target(
    name="nginx",
    launch=_nginx_launch,
    version=_nginx_version,
    missing=lambda: None if shutil.which(nginx_command()) else "nginx is not installed",
    headers=(bearer(CLIENT_KEY),),
    exact=True,
    note="plain proxy_pass, keep-alive, no buffering, one worker",
)

_GATEWAY_YAML = """\
server:
  api_keys: [{client_key}]
  admin_keys: [{admin_key}]
providers:
  bench:
    kind: openai-compatible
    base_url: http://127.0.0.1:{port}/v1
    api_key: {upstream_key}
    stream_usage: true
models:
  bench: bench/{model}
roles:
  rlm: bench
"""


def _gateway_launch(place: Place, more: str = "") -> Launch:
    """`more`: added to the configuration."""
    text = more + _GATEWAY_YAML.format(
        client_key=CLIENT_KEY,
        admin_key=ADMIN_KEY,
        upstream_key=UPSTREAM_KEY,
        port=place.upstream_port,
        model=UPSTREAM_MODEL,
    )
    config = place.write("gateway.yaml", text)
    state = place.directory / "state"
    state.mkdir()
    argv = (sys.executable, "-m", "gateway", "run", "--config", str(config), "--port", str(place.port))
    return Launch(argv, "/readyz", place.port, {"PYTHONPATH": str(ROOT), "GATEWAY_STATE_DIR": str(state)})


def _gateway_version() -> str:
    try:
        return metadata.version("llm-gateway")
    except metadata.PackageNotFoundError:
        return "source"


GATEWAY = Target(
    name="gateway",
    launch=_gateway_launch,
    version=_gateway_version,
    missing=lambda: None,
    model="role:rlm",
    headers=(bearer(CLIENT_KEY),),
    exact=True,
    note="key check, role, plan, quotas, health, usage, prices, metrics, ledger",
)
UNRECORDED = replace(
    GATEWAY,
    name="gateway-unrecorded",
    launch=partial(_gateway_launch, more="ledger: {enabled: false}\n"),
    note="the same without the ledger",
)
WATCHED = replace(
    GATEWAY,
    name="gateway-watched",
    beside=lambda place: (sys.executable, "-m", "bench.console", str(place.port), ADMIN_KEY),
    cannot_stream="is measured with completions only: the console hears of a call once, whatever its length",
    note="the same with a console open, which hears of every call",
)
