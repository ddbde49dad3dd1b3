"""A gateway under traffic, and a real Prometheus that scrapes it every second."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from tests.faults.ports import free_port, refuse_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[2]
PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway; whatever serves `/metrics` there can stand in for it."""

    address: str
    """`host:port`."""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics").raise_for_status().text

    def send_requests(self, count: int) -> None:
        """Send chat requests of every kind a dashboard shows: streams, whole and kept answers, a refusal, a hang-up."""
        # At once, because demo/echo takes its time over a stream.
        with httpx.Client(base_url=self.url, timeout=10) as client, ThreadPoolExecutor(count) as threads:
            for answer in threads.map(lambda number: ask(client, "role:rlm", stream=number % 2 == 0), range(count)):
                answer.raise_for_status()
            for _ in range(3):
                ask(client, "role:kept").raise_for_status()
            assert ask(client, "no-such-model").status_code == 404
            with client.stream("POST", CHAT, json=chat("role:rlm", stream=True)):
                pass  # leave before the end


CHAT = "/v1/chat/completions"


def chat(model: str, *, stream: bool = False) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}


def ask(client: httpx.Client, model: str, *, stream: bool = False) -> httpx.Response:
    return client.post(CHAT, json=chat(model, stream=stream))


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A real server with the rules and the scrape job of grafana/prometheus."""

    url: str

    def get(self, path: str, **params: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, timeout=10).json()
        assert answer["status"] == "success", f"{params or path}: {answer['error']}"
        return answer["data"]

    def values(self, query: str) -> list[float]:
        """Return the samples of an instant query that are numbers."""
        data = self.get("query", query=query)
        samples = [data["result"]] if data["resultType"] == "scalar" else [each["value"] for each in data["result"]]
        return [value for _, text in samples if not math.isnan(value := float(text))]

    def wait_for_scrapes(self, count: int) -> None:
        """Return when the gateway has been scraped `count` times more."""
        scrapes = 'count_over_time(up{job="gateway"}[1h])'
        target = sum(self.values(scrapes)) + count
        wait_until(lambda: sum(self.values(scrapes)) >= target, "Prometheus has scraped the gateway")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if condition():
                return
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S:g} s in vain until {what}")


@contextlib.contextmanager
def serving(command: Sequence[str], ready_url: str, log: Path, env: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server while the block runs; what it printed is part of the failure if it does not get ready."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=env, cwd=ROOT) as server:
        try:
            try:
                wait_until(
                    lambda: server.poll() is not None or httpx.get(ready_url).status_code == 200,
                    f"{ready_url} answers",
                )
                assert server.poll() is None, f"{command[0]} ended with {server.returncode}"
            except AssertionError as failure:
                failure.add_note(log.read_text(errors="replace")[-4000:])
                raise
            yield
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


@contextlib.contextmanager
def running_gateway(directory: Path) -> Iterator[Gateway]:
    """Run a gateway whose first choice for the role takes no connections, so that every call falls back."""
    with refuse_port() as closed:
        gateway = Gateway(f"127.0.0.1:{free_port()}")
        config = directory / "gateway.yaml"
        settings = {
            "server": {"host": "127.0.0.1", "port": int(gateway.address.rpartition(":")[2])},
            "providers": {
                "dead": {
                    "kind": "openai",
                    "base_url": f"http://127.0.0.1:{closed}/v1",
                    "api_key": "unused",
                    "local": False,
                    "price": {"input": 2, "output": 8},
                },
                "demo": {"kind": "demo"},
            },
            "roles": {
                "rlm": {"models": ["dead/x", "demo/echo"]},
                "kept": {"models": ["demo/echo"], "cache": {"nondeterministic": True}},
            },
            "budgets": [{"scope": "total", "limit_usd": 1, "window": "day"}],
        }
        config.write_text(yaml.safe_dump(settings))
        command = (sys.executable, "-m", "gateway", "run", "--config", str(config))
        env = {"PATH": os.environ["PATH"], "GATEWAY_STATE_DIR": str(directory / "state")}
        with serving(command, f"{gateway.url}/livez", directory / "gateway.log", env):
            yield gateway


@contextlib.contextmanager
def running_prometheus(binary: str, directory: Path, target: str) -> Iterator[Prometheus]:
    """Run Prometheus with the shipped configuration, changed only in the target and the pace."""
    shipped = ROOT / "grafana" / "prometheus"
    config = yaml.safe_load((shipped / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(shipped / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [target]}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = (
        binary,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address={address}",
    )
    with serving(command, f"http://{address}/-/ready", directory / "prometheus.log"):
        yield Prometheus(f"http://{address}")
