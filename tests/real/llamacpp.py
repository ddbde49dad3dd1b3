"""Run a real llama.cpp server on a tiny model, in its own process: a crash cannot take the tests with it.

What it does when a client hangs up (measured with llama.cpp as of October 2026): a *streamed*
answer is cancelled within a few milliseconds, after FIN and RST alike; one that is not streamed
is computed to the end, whatever its length.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.faults.client import Client, request
from tests.faults.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "tiny"
SLOTS = 4
SLOT_TOKENS = 4096

START_S = 30.0
"""It takes under a second; a busy machine may take longer to import numpy."""

TRIES = 3
TAKEN = "couldn't bind"
"""What its log says if something else has taken the port between its choice and the server's start."""


class DidNotStart(RuntimeError):
    """The server ended or stayed silent instead of becoming healthy; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """A running server with the model `tiny`; its greedy answers are exactly as long as `max_tokens`."""

    port: int
    log: Path

    @property
    def base_url(self) -> str:
        """What a provider's `base_url` is set to."""
        return f"http://127.0.0.1:{self.port}/v1"

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-2000:]

    async def busy_slots(self) -> int:
        """Return how many answers are being computed."""
        async with Client(self.port) as client:
            await client.send(request(target="/slots"))
            slots = (await client.response()).json
        return sum(slot["is_processing"] for slot in slots)

    async def wait_busy(self, slots: int, within_s: float = 5.0) -> float:
        """Return when that many answers were being computed, time.monotonic(); 0 waits for idleness.

        Raises:
            TimeoutError: it did not come to that.
        """
        async with asyncio.timeout(within_s):
            while await self.busy_slots() != slots:  # noqa: ASYNC110 - another process, which can only be asked
                await asyncio.sleep(0.005)
        return time.monotonic()

    async def tokens_predicted(self) -> int:
        """Return how many tokens were computed for answers that are over, since it started."""
        async with Client(self.port) as client:
            await client.send(request(target="/metrics"))
            metrics = (await client.response()).body.decode()
        _, _, rest = metrics.partition("\nllamacpp:tokens_predicted_total ")
        return int(rest.split()[0])


@contextlib.contextmanager
def llama_server(
    directory: Path, *, slots: int = SLOTS, slot_tokens: int = SLOT_TOKENS, longest: int = -1
) -> Iterator[LlamaServer]:
    """Yield a healthy server whose model and log are in `directory`; end it afterwards.

    It computes `slots` answers at once, each with a context of `slot_tokens`, and writes at most `longest` tokens.

    Raises:
        DidNotStart: it did not become healthy.
    """
    # Here, because it needs numpy and gguf, which are there only where a server can be started.
    from tests.real.tiny_model import write_model

    model = directory / "tiny.gguf"
    write_model(model)
    options = ["--slots", str(slots), "--slot-tokens", str(slot_tokens), "--longest", str(longest)]
    with contextlib.ExitStack() as processes:
        for number in range(TRIES):
            server = LlamaServer(free_port(), directory / f"llama-{number}.log")
            process = processes.enter_context(_process(server, ["--model", str(model), *options]))
            if _is_healthy(server, process):
                yield server
                return
            if process.poll() is None or TAKEN not in server.said():
                break
        raise DidNotStart(server.said())


@contextlib.contextmanager
def _process(server: LlamaServer, options: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.real.llamacpp", "--port", str(server.port), *options]
    with (
        server.log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process
        finally:
            # The server ends with its standard input, so it cannot outlive a killed test run either.
            process.kill()


def _is_healthy(server: LlamaServer, process: subprocess.Popen[bytes]) -> bool:
    """Wait until it is; False: it ended, or stayed silent for START_S."""
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=1)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return True
        time.sleep(0.02)
    return False


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--model", type=click.Path(exists=True), required=True)
@click.option("--slots", type=int, default=SLOTS)
@click.option("--slot-tokens", type=int, default=SLOT_TOKENS)
@click.option("--longest", type=int, default=-1)
def main(port: int, model: str, slots: int, slot_tokens: int, longest: int) -> None:
    """Serve a model until standard input ends."""
    import xllamacpp  # only this process needs it

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel, params.n_ctx = slots, slots * slot_tokens
    params.n_predict = longest
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = slots * 2
    params.endpoint_slots = params.endpoint_metrics = True
    params.warmup = params.fit_params = params.ui = False
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()
