"""Reduce rounds to medians, and medians to a Markdown table."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.probe import Latency
    from bench.streams import Result


@dataclass(frozen=True, slots=True)
class JsonRound:
    """One load of completions, and the yardstick's beside it."""

    cpu_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    busy: float
    """Share of one core the target used; below about 0.9 the load, not the target, set `per_second`."""
    yardstick_cpu_us: float


@dataclass(frozen=True, slots=True)
class LatencyRound:
    """One connection through the target, beside the same straight to the upstream."""

    through: Latency
    direct: Latency
    probe_through: Latency
    probe_direct: Latency


@dataclass(frozen=True, slots=True)
class StreamRound:
    """One load of streams, and the yardstick's: at the same time, or just before."""

    result: Result
    yardstick_cpu_us: float


@dataclass(slots=True)
class Measured:
    """All that was found out about one target."""

    name: str
    version: str = ""
    note: str = ""
    without: str | None = None
    """What was left out, and why."""
    starts_s: list[float] = field(default_factory=list)
    idle_rss_mb: float | None = None
    loaded_rss_mb: float | None = None
    kb_per_stream: float | None = None
    json_rounds: list[JsonRound] = field(default_factory=list)
    latency_rounds: list[LatencyRound] = field(default_factory=list)
    stream_rounds: list[StreamRound] = field(default_factory=list)
    """Target and yardstick share the core."""
    alone_rounds: list[StreamRound] = field(default_factory=list)
    """Target and yardstick have the core in turn."""
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of one target. None: not measured."""

    name: str
    cpu_us_per_request: float | None
    request_ratio: float | None
    requests_per_s: float | None
    busy: float | None
    added_p50_ms: float | None
    added_p99_ms: float | None
    probe_added_p50_ms: float | None
    probe_added_p99_ms: float | None
    cpu_us_per_chunk: float | None
    chunk_ratio: float | None
    alone_cpu_us_per_chunk: float | None
    alone_chunk_ratio: float | None
    gap_p50_ms: float | None
    gap_p99_ms: float | None
    first_chunk_p50_ms: float | None
    kb_per_stream: float | None
    start_s: float | None
    idle_rss_mb: float | None


def middle(values: Iterable[float]) -> float | None:
    """Return the median, or None of nothing."""
    found = list(values)
    return median(found) if found else None


def row(measured: Measured) -> Row:
    """Return the medians. A ratio is the median of the ratios of neighbouring rounds, not a ratio of medians."""
    unary, delay = measured.json_rounds, measured.latency_rounds
    streams, alone = measured.stream_rounds, measured.alone_rounds
    return Row(
        name=measured.name,
        cpu_us_per_request=middle(r.cpu_us for r in unary),
        request_ratio=middle(r.cpu_us / r.yardstick_cpu_us for r in unary),
        requests_per_s=middle(r.per_second for r in unary),
        busy=middle(r.busy for r in unary),
        added_p50_ms=middle(r.through.p50_ms - r.direct.p50_ms for r in delay),
        added_p99_ms=middle(r.through.p99_ms - r.direct.p99_ms for r in delay),
        probe_added_p50_ms=middle(r.probe_through.p50_ms - r.probe_direct.p50_ms for r in delay),
        probe_added_p99_ms=middle(r.probe_through.p99_ms - r.probe_direct.p99_ms for r in delay),
        cpu_us_per_chunk=middle(r.result.cpu_us_per_chunk for r in streams),
        chunk_ratio=middle(r.result.cpu_us_per_chunk / r.yardstick_cpu_us for r in streams),
        alone_cpu_us_per_chunk=middle(r.result.cpu_us_per_chunk for r in alone),
        alone_chunk_ratio=middle(r.result.cpu_us_per_chunk / r.yardstick_cpu_us for r in alone),
        gap_p50_ms=middle(r.result.gap_p50_ms for r in streams),
        gap_p99_ms=middle(r.result.gap_p99_ms for r in streams),
        first_chunk_p50_ms=middle(r.result.first_chunk_p50_ms for r in streams),
        kb_per_stream=measured.kb_per_stream,
        start_s=middle(measured.starts_s),
        idle_rss_mb=measured.idle_rss_mb,
    )


_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("CPU µs/request", "cpu_us_per_request", "{:,.1f}"),
    ("x nginx", "request_ratio", "{:.2f}"),
    ("req/s", "requests_per_s", "{:,.0f}"),
    ("added p50 ms", "added_p50_ms", "{:.2f}"),
    ("added p99 ms", "added_p99_ms", "{:.2f}"),
    ("CPU µs/chunk", "cpu_us_per_chunk", "{:,.1f}"),
    ("x nginx", "chunk_ratio", "{:.2f}"),
    ("alone: CPU µs/chunk", "alone_cpu_us_per_chunk", "{:,.1f}"),
    ("x nginx", "alone_chunk_ratio", "{:.2f}"),
    ("KB/open stream", "kb_per_stream", "{:.1f}"),
    ("start s", "start_s", "{:.2f}"),
    ("idle RSS MB", "idle_rss_mb", "{:.0f}"),
)

SATURATED = 0.9
TOGETHER = 0.1


def markdown(rows: Sequence[Row]) -> str:
    """Return the table. An asterisk marks a rate that the load generator, not the target, limited."""
    lines = [
        "| | " + " | ".join(title for title, _, _ in _COLUMNS) + " |",
        "|---|" + "--:|" * len(_COLUMNS),
    ]
    for one in rows:
        cells = [_cell(one, field_name, form) for _, field_name, form in _COLUMNS]
        lines.append(f"| {one.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(one: Row, field_name: str, form: str) -> str:
    value: float | None = getattr(one, field_name)
    if value is None:
        return "-"
    limited = field_name == "requests_per_s" and one.busy is not None and one.busy < SATURATED
    return form.format(value) + ("*" if limited else "")


def _together(rounds: Sequence[StreamRound]) -> float:
    """Return the share of events that came in one read with an earlier one."""
    return middle(1 - r.result.reads / r.result.chunks for r in rounds) or 0.0


def remarks(measured: Sequence[Measured], skipped: Mapping[str, str]) -> str:
    """Return what the table cannot say: versions, failures, and what was not measured."""
    lines = ["\\* the target did not fill its core: the load, or other work on the machine, was the limit."]
    lines += [f"{one.name} {one.version}: {one.note}".rstrip(": ") for one in measured]
    lines += [
        f"{one.name}: its streams were not all open at once, so opening them is in its CPU per chunk"
        for one in measured
        if not all(r.result.steady for r in (*one.stream_rounds, *one.alone_rounds))
    ]
    lines += [
        f"{one.name}: {share:.0%} of its events arrived together with an earlier one, which makes a chunk look cheaper"
        for one in measured
        if (share := max(map(_together, (one.stream_rounds, one.alone_rounds)))) > TOGETHER
    ]
    lines += [f"{one.name} {one.without}" for one in measured if one.without]
    lines += [f"{one.name} FAILED: {error}" for one in measured for error in one.errors]
    lines += [f"{name} skipped: {reason}" for name, reason in skipped.items()]
    return "\n".join(f"* {line}" for line in lines)
