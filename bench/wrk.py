"""Load a target with wrk, have every answer checked by its script, and read what it found."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.chat import ANSWER, COMPLETION, completion_request
from bench.probe import TargetError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.targets import Endpoint

_MARK = "BENCH-RESULT "

# `response` costs wrk some microseconds per answer. They are wrk's own, on its own core. Lua interns
# strings, so comparing two bodies is comparing two pointers.
_SCRIPT = """\
local threads = {{}}
local wanted = {wanted}
local exact = {exact}
wrong, seen, first = 0, 0, ""
wrk.method = "POST"
wrk.path = {path}
wrk.body = {body}
{headers}
function setup(thread) table.insert(threads, thread) end
function response(status, headers, body)
  seen = seen + 1
  if status == 200 then
    if exact then
      if body == wanted then return end
    elseif string.find(body, wanted, 1, true) then
      return
    end
  end
  wrong = wrong + 1
  if first == "" then first = status .. " " .. string.sub(body, 1, 200) end
end
function done(summary, latency, requests)
  local bad, ok, example = 0, 0, ""
  for _, thread in ipairs(threads) do
    bad = bad + thread:get("wrong")
    ok = ok + thread:get("seen")
    if example == "" then example = thread:get("first") end
  end
  local e = summary.errors
  io.write(string.format({format},
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    ok, bad, e.connect, e.read, e.write, e.timeout, example))
end
"""
_FORMAT = _MARK + "%d %d %d %d %d %d %d %d %d %d %s\\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    checked: int
    wrong: int
    socket_errors: int
    example: str = ""
    """The first wrong answer."""

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    def objection(self) -> str | None:
        """Return what was wrong with the answers, or None."""
        if self.requests == 0:
            return "answered no request"
        if self.wrong:
            return f"answered {self.wrong} of {self.checked} requests wrongly, first: {self.example}"
        if self.socket_errors:
            return f"broke {self.socket_errors} connections or was too slow"
        if self.checked < self.requests:
            return f"only {self.checked} of {self.requests} answers could be checked"
        return None


def lua_string(text: str) -> str:
    """Return a Lua literal. JSON's escapes are Lua's for printable ASCII, quotes, backslash and line ends."""
    assert text.isascii()
    return json.dumps(text)


def script(endpoint: Endpoint) -> str:
    """Return the wrk script that posts a small chat request."""
    target = endpoint.target
    lines = (f"wrk.headers[{lua_string(name)}] = {lua_string(value)}" for name, value in endpoint.headers())
    return _SCRIPT.format(
        wanted=lua_string(COMPLETION.decode() if target.exact else ANSWER),
        exact="true" if target.exact else "false",
        path=lua_string(target.path),
        body=lua_string(completion_request(target.model).decode()),
        headers="\n".join(lines),
        format=lua_string(_FORMAT.replace("\\n", "\n")),
    )


def read_output(output: str) -> Load:
    """Read what the script wrote.

    Raises:
        ValueError: there is no result in it.
    """
    for line in output.splitlines():
        if line.startswith(_MARK):
            *numbers, example = line[len(_MARK) :].split(" ", 10)
            requests, duration_us, p50_us, p99_us, checked, wrong, *errors = map(int, numbers)
            return Load(requests, duration_us / 1e6, p50_us / 1000, p99_us / 1000, checked, wrong, sum(errors), example)
    raise ValueError(f"wrk reported no result: {output[-500:]}")


def run(endpoint: Endpoint, directory: Path, *, connections: int, threads: int, seconds: float) -> Load:
    """Load a target for some whole seconds.

    Raises:
        TargetError: an answer was wrong, or wrk did not report.
    """
    path = directory / f"{endpoint.port}.lua"
    if not path.exists():
        path.write_text(script(endpoint))
    whole = max(1, round(seconds))
    argv = (
        "wrk", f"-t{threads}", f"-c{connections}", f"-d{whole}s", "--timeout", "20s",
        "-s", str(path), f"http://127.0.0.1:{endpoint.port}",
    )  # fmt: skip
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=whole + 60, check=False)
        load = read_output(ran.stdout + ran.stderr)
    except (subprocess.TimeoutExpired, ValueError) as exc:
        raise TargetError(str(exc)) from exc
    if wrong := load.objection():
        raise TargetError(wrong)
    return load
