"""Measure targets one after another, in short rounds beside nginx.

Requests go to nginx and the target in turn. Streams go to both at the same time, and then to each alone, in turn.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from bench import proc, wrk
from bench.probe import Latency, TargetError, announced_port, probe, tail, wait_ready
from bench.streams import Result, Task
from bench.table import JsonRound, LatencyRound, Measured, StreamRound
from bench.targets import NGINX, ROOT, Endpoint, Place, Target, bare_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.upstream import Upstreams

CONNECTIONS = 32
STREAMS = 100
EVERY_MS = 10
IDLE_STREAMS = 1000
START_S = 60.0
SETTLE_S = 1.0
WARM_UP_S = 2.0
PROBES_PER_S = 100

DIRECT = Target(
    name="direct", launch=NGINX.launch, version=str, missing=lambda: None, headers=NGINX.headers, exact=True
)
"""The upstream itself; it is never launched as a target."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often."""

    seconds: float
    rounds: int
    idle_streams: int = IDLE_STREAMS


@dataclass(frozen=True, slots=True)
class Instance:
    """A running target."""

    endpoint: Endpoint
    pid: int
    log: Path
    start_s: float

    def pids(self) -> tuple[int, ...]:
        """Return its processes, now."""
        return proc.tree(self.pid)


@dataclass(slots=True)
class Bench:
    """What all measurements of one run share."""

    directory: Path
    cores: proc.Cores
    upstreams: Upstreams
    effort: Effort
    count: int = 0

    @contextlib.contextmanager
    def start(self, target: Target, upstream_port: int) -> Iterator[Instance]:
        """Run a fresh instance of a target.

        Raises:
            TargetError: it does not become ready.
        """
        self.count += 1
        place = Place(self.directory / f"{target.name}-{self.count}", proc.free_port(), upstream_port, proc.free_port())
        place.directory.mkdir()
        log = place.directory / "output.log"
        launch = target.launch(place)
        env = bare_environment(place.directory, launch.env)
        begin = time.monotonic()
        with proc.process(launch.argv, log=log, cores=self.cores.target, env=env, cwd=place.directory) as child:
            port, ready_port = place.port, launch.ready_port
            if launch.announced:
                port = ready_port = announced_port(child, launch.announced, begin + START_S, log)
            wait_ready(child, ready_port, launch.ready_path, begin + START_S, log, launch.ready_status)
            took = time.monotonic() - begin
            with self._beside(target, place):
                yield Instance(Endpoint(target, port, upstream_port), child.pid, log, took)

    @contextlib.contextmanager
    def _beside(self, target: Target, place: Place) -> Iterator[None]:
        """Run what looks on, if the target has that.

        Raises:
            TargetError: it ended before the block did.
        """
        if target.beside is None:
            yield
            return
        log = place.directory / "beside.log"
        env = bare_environment(place.directory, {"PYTHONPATH": str(ROOT)})
        with proc.process(target.beside(place), log=log, cores=self.cores.load, env=env, cwd=ROOT) as child:
            yield
            if child.poll() is not None:
                raise TargetError(f"what looks on ended with {child.returncode}: {tail(log)}")

    def load(self, instance: Instance, connections: int, threads: int, seconds: float) -> tuple[wrk.Load, float]:
        """Return what wrk saw, and the CPU seconds that the target used meanwhile."""
        before = proc.cpu_s(instance.pids())
        seen = wrk.run(instance.endpoint, self.directory, connections=connections, threads=threads, seconds=seconds)
        return seen, proc.cpu_s(instance.pids()) - before

    def completions(self, instance: Instance, yardstick: Instance, measured: Measured) -> None:
        """Load both in turn, after a while that nobody counts."""
        self.load(instance, CONNECTIONS, 2, WARM_UP_S)
        for _ in range(self.effort.rounds):
            beside, beside_cpu = self.load(yardstick, CONNECTIONS, 2, self.effort.seconds)
            seen, cpu = self.load(instance, CONNECTIONS, 2, self.effort.seconds)
            measured.json_rounds.append(
                JsonRound(
                    cpu_us=cpu / seen.requests * 1e6,
                    per_second=seen.per_second,
                    p50_ms=seen.p50_ms,
                    p99_ms=seen.p99_ms,
                    busy=cpu / seen.seconds,
                    yardstick_cpu_us=beside_cpu / beside.requests * 1e6,
                )
            )

    def latency(self, instance: Instance, measured: Measured) -> None:
        """Compare one connection through the target with one straight to the upstream."""
        seconds = max(1.0, self.effort.seconds / 3)
        upstream = Endpoint(DIRECT, self.upstreams.completions, 0)
        for _ in range(self.effort.rounds):
            direct = wrk.run(upstream, self.directory, connections=1, threads=1, seconds=seconds)
            through, _ = self.load(instance, 1, 1, seconds)
            slow_direct = probe(upstream, seconds=seconds, per_second=PROBES_PER_S)
            slow_through = probe(instance.endpoint, seconds=seconds, per_second=PROBES_PER_S)
            measured.latency_rounds.append(LatencyRound(_latency(through), _latency(direct), slow_through, slow_direct))

    def task(self, instance: Instance, *, streams: int, tokens: int, every_ms: int, hold: bool, limit_s: float) -> Task:
        """Return what the stream generator is to do with a target."""
        target = instance.endpoint.target
        return Task(
            port=instance.endpoint.port,
            path=target.path,
            model=target.model,
            headers=instance.endpoint.headers(),
            streams=streams,
            tokens=tokens,
            every_ms=every_ms,
            exact=target.exact,
            hold=hold,
            timeout_s=limit_s,
            pids=instance.pids(),
        )

    def stream(self, instance: Instance, seconds: float) -> Result:
        """Hold STREAMS streams open until they end.

        Raises:
            TargetError: a stream broke, or carried other bytes than were sent.
        """
        # An overloaded target is late, not broken: it gets ten times the time.
        limit_s = seconds * 10 + 20
        tokens = max(1, round(seconds * 1000 / EVERY_MS))
        task = self.task(instance, streams=STREAMS, tokens=tokens, every_ms=EVERY_MS, hold=False, limit_s=limit_s)
        with _generator() as child:
            try:
                output, _ = child.communicate(msgspec.json.encode(task) + b"\n", limit_s + 20)
            except subprocess.TimeoutExpired as exc:
                raise TargetError("the stream generator did not end") from exc
        result = _read_result(output)
        if result.errors:
            raise TargetError(f"streams: {len(result.errors)} or more errors, first: {result.errors[0]}")
        return result

    def streaming(self, instance: Instance, yardstick: Instance, measured: Measured) -> None:
        """Stream through both at once, then through each alone, after a warm-up that is not counted.

        Side by side both meet the same core: alone, one instance of nginx took up to 40 % more than another, because
        the speed of a core that is mostly idle changes every few seconds. Alone, neither shares the caches of the core,
        nor finds the core awake because of the other, and ratios are larger.
        """
        self.stream(instance, WARM_UP_S)
        seconds = self.effort.seconds
        with ThreadPoolExecutor(2) as both:
            for _ in range(self.effort.rounds):
                beside, result = both.map(self.stream, (yardstick, instance), (seconds,) * 2)
                measured.stream_rounds.append(StreamRound(result, beside.cpu_us_per_chunk))
        for _ in range(self.effort.rounds):
            before = self.stream(yardstick, seconds)
            measured.alone_rounds.append(StreamRound(self.stream(instance, seconds), before.cpu_us_per_chunk))

    def memory(self, instance: Instance, measured: Measured) -> None:
        """Open a thousand streams that have begun and then say nothing.

        Raises:
            TargetError: not all of them could be opened.
        """
        time.sleep(SETTLE_S)
        measured.idle_rss_mb = proc.rss_bytes(instance.pids()) / 1e6
        self.stream(instance, WARM_UP_S)  # so that growth is not the first use of the code
        time.sleep(SETTLE_S)
        before = proc.rss_bytes(instance.pids())
        wanted = self.effort.idle_streams
        task = self.task(instance, streams=wanted, tokens=3, every_ms=300_000, hold=True, limit_s=120)
        with _generator() as child:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(msgspec.json.encode(task) + b"\n")
            child.stdin.flush()
            line = child.stdout.readline()  # bounded by the generator's own time limit
            opened = msgspec.json.decode(line) if line else {}
            time.sleep(SETTLE_S)
            growth = proc.rss_bytes(instance.pids()) - before
            child.stdin.close()
            child.stdin = None  # communicate() would flush it again
            child.communicate(timeout=30)
        if opened.get("open") != wanted:
            raise TargetError(f"holds {opened.get('open', 0)} of {wanted} open streams: {line[:300]!r}")
        measured.kb_per_stream = growth / wanted / 1024

    def measure(self, target: Target, beside_json: Instance, beside_streams: Instance) -> Measured:
        """Run every measurement of one target; a failure ends that measurement and is noted."""
        measured = Measured(target.name, target.version(), target.note, target.cannot_stream)
        upstreams = self.upstreams

        def with_json(instance: Instance) -> None:
            probe(instance.endpoint, seconds=0.2, per_second=50)
            self.completions(instance, beside_json, measured)
            self.latency(instance, measured)
            measured.loaded_rss_mb = proc.rss_bytes(instance.pids()) / 1e6

        stages: tuple[tuple[str, int, Callable[[Instance], None]], ...] = (
            ("completions", upstreams.completions, with_json),
            ("streams", upstreams.streams, lambda instance: self.streaming(instance, beside_streams, measured)),
            ("memory", upstreams.streams, lambda instance: self.memory(instance, measured)),
        )
        for name, port, stage in stages:
            if target.cannot_stream and port == upstreams.streams:
                continue
            print(f"{target.name}: {name} ...", file=sys.stderr, flush=True)
            log: Path | None = None
            try:
                with self.start(target, port) as instance:
                    measured.starts_s.append(instance.start_s)
                    log = instance.log
                    stage(instance)
            except TargetError as exc:
                said = tail(log, 300) if log else ""
                measured.errors.append(f"{name}: {exc}" + (f" [log: {said}]" if said else ""))
        return measured


def _latency(load: wrk.Load) -> Latency:
    return Latency(load.requests, load.p50_ms, load.p99_ms)


@contextlib.contextmanager
def _generator() -> Iterator[subprocess.Popen[bytes]]:
    """Run the stream generator on the load core, which is this process's own."""
    child = subprocess.Popen(
        (sys.executable, "-m", "bench.streams"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        yield child
    finally:
        proc.end(child)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _read_result(output: bytes) -> Result:
    lines = output.splitlines()
    try:
        return msgspec.json.decode(lines[-1], type=Result)
    except (IndexError, msgspec.DecodeError) as exc:
        raise TargetError(f"the stream generator said {output[-300:]!r}") from exc
