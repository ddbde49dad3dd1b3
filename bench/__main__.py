"""Run the benchmark: `python -m bench`, or install what it compares with: `python -m bench install-peers`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench import machine, proc
from bench.peers import ALL as PEERS
from bench.probe import TargetError
from bench.run import Bench, Effort
from bench.table import Measured, Row, markdown, remarks, row
from bench.targets import GATEWAY, NGINX, ROOT, UNRECORDED, WATCHED, Target
from bench.upstream import upstreams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TARGETS: dict[str, Target] = {target.name: target for target in (NGINX, GATEWAY, UNRECORDED, WATCHED, *PEERS)}
RESULTS = ROOT / "bench" / "results"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds of one second: a check, not a result")
    parser.add_argument("--only", default="", metavar="NAMES", help=f"of: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, metavar="N", help="length of one round (default 3)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each load (default 5)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the result is written")
    commands = parser.add_subparsers(dest="command", metavar="command")
    install = commands.add_parser("install-peers", help="install other gateways below bench/.peers")
    install.add_argument("names", nargs="*", help=f"of: {', '.join(peer.name for peer in PEERS)}; default all")
    return parser.parse_args(argv)


def chosen(names: str) -> list[Target]:
    """Return the targets of a run; nginx is always the first of them.

    Raises:
        SystemExit: a name is unknown.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(TARGETS)
    if unknown := [name for name in wanted if name not in TARGETS]:
        raise SystemExit(f"unknown target {unknown[0]!r}; known: {', '.join(TARGETS)}")
    return [NGINX, *(TARGETS[name] for name in wanted if name != NGINX.name)]


def install_peers(names: Sequence[str]) -> int:
    """Install peers, each into an environment of its own."""
    failed = 0
    for peer in PEERS:
        if peer.install is None or (names and peer.name not in names):
            continue
        print(f"installing {peer.name} ...", flush=True)
        try:
            peer.install()
        except (subprocess.SubprocessError, OSError) as exc:
            failed += 1
            print(f"{peer.name}: cannot be installed: {exc}")
        else:
            print(f"{peer.name} {peer.version()}")
    return 1 if failed else 0


def benchmark(targets: Sequence[Target], effort: Effort) -> tuple[list[Measured], dict[str, str]]:
    """Measure what can run; return it, and why the rest cannot."""
    skipped = {target.name: reason for target in targets if (reason := target.missing())}
    found: list[Measured] = []
    proc.raise_file_limit()
    cores = proc.Cores.choose()
    os.sched_setaffinity(0, cores.load)  # for wrk and the probes too
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
        up = stack.enter_context(upstreams(directory, cores.load))
        bench = Bench(directory, cores, up, effort)
        beside_json = stack.enter_context(bench.start(NGINX, up.completions))
        beside_streams = stack.enter_context(bench.start(NGINX, up.streams))
        found += [
            bench.measure(target, beside_json, beside_streams) for target in targets if target.name not in skipped
        ]
    return found, skipped


def report(
    path: Path, facts: Mapping[str, object], effort: Effort, found: Sequence[Measured], skipped: Mapping[str, str]
) -> list[Row]:
    """Write everything that was measured as JSON; return the rows."""
    rows = [row(measured) for measured in found]
    path.parent.mkdir(parents=True, exist_ok=True)
    everything = {
        "machine": facts,
        "effort": dataclasses.asdict(effort),
        "rows": rows,
        "measured": found,
        "skipped": skipped,
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(everything), indent=1) + b"\n")
    return rows


def _interrupt(number: int, frame: object) -> None:
    del frame
    raise SystemExit(128 + number)  # unwinds through every context manager that owns a process


def main(argv: Sequence[str]) -> int:
    """Run one command; return the exit status."""
    options = arguments(argv)
    if options.command == "install-peers":
        return install_peers(options.names)
    for tool in ("wrk", "nginx"):
        if not shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
            print(f"{tool} is needed and not installed", file=sys.stderr)
            return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    targets = chosen(options.only)
    seconds, rounds = (1.0, 2) if options.quick else (3.0, 5)
    effort = Effort(options.seconds or seconds, options.rounds or rounds)
    facts = machine.facts()
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    try:
        found, skipped = benchmark(targets, effort)
    except TargetError as exc:
        print(f"the benchmark itself cannot start: {exc}", file=sys.stderr)
        return 2
    path = options.json or RESULTS / f"{stamp}.json"
    rows = report(path, facts, effort, found, skipped)
    print(markdown(rows) + "\n\n" + remarks(found, skipped) + f"\n\n{path}")
    return 1 if any(measured.errors for measured in found) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
