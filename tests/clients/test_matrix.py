"""Clients as users install them: what they can do with a gateway in between, whatever the upstream speaks.

The programs of programs/ and node/ know nothing of a gateway but its URL and a key. Each checks the answers, so that
here only its report is read.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.clients import provider
from tests.clients.matrix import CLIENTS, REFUSED, cases_of
from tests.clients.reports import KEY, run
from tests.faults import FaultyUpstream
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.clients.matrix import Case, Client
    from tests.clients.reports import Report

YAML = """
server: {{api_keys: ["{key}"]}}
providers:
  chat: {{kind: openai-compatible, base_url: "{chat}"}}
  messages: {{kind: anthropic, base_url: "{messages}", api_key: sk-1}}
  responses: {{kind: openai, base_url: "{responses}", api_key: sk-2}}
models:
  on-chat: {{model: chat/scripted, context: 100k}}
  on-messages: {{model: messages/scripted, context: 100k}}
  on-responses: {{model: responses/scripted, context: 100k}}
"""
pytestmark = [pytest.mark.deadline(150), pytest.mark.usefixtures("packages", "environments")]


class Seen(NamedTuple):
    """What came of a client's program."""

    report: Report
    asked: Mapping[str, frozenset[str]]
    """The targets that the upstreams were asked for, by the upstream's dialect."""


_seen: dict[str, Seen] = {}
"""By client. A client's program runs once, because its imports take seconds; the first of its tests starts it."""


async def seen_of(client: Client) -> Seen:
    """Return what came of a client's program at a gateway with an upstream for each dialect."""
    if client.name not in _seen:
        async with AsyncExitStack() as stack:
            upstreams = {
                dialect: await stack.enter_async_context(FaultyUpstream(provider.speaking(dialect)))
                for dialect in provider.DIALECTS
            }
            urls = {dialect: upstream.base_url for dialect, upstream in upstreams.items()}
            running = await stack.enter_async_context(serving(YAML.format(key=KEY, **urls)))
            runs = dict.fromkeys(case.run for case in cases_of(client))
            report = await run(client, running.base_url.removesuffix("/v1"), list(runs))
            asked = {
                dialect: frozenset(request.target for request in upstream.requests)
                for dialect, upstream in upstreams.items()
            }
            _seen[client.name] = Seen(report, asked)
    return _seen[client.name]


def parameters() -> list[object]:
    """Every case, with what is expected of it."""
    found: list[object] = []
    for case in (case for client in CLIENTS for case in cases_of(client)):
        marks = []
        if reason := REFUSED.get((case.client.name, case.surface.name, case.upstream, case.capability)):
            marks.append(pytest.mark.xfail(reason=reason))
        found.append(pytest.param(case, marks=marks, id=str(case)))
    return found


@pytest.mark.parametrize("case", parameters())
async def test_capability(case: Case) -> None:
    """A client can do with a gateway what the table in docs/clients.md says."""
    report = (await seen_of(case.client)).report
    error = report.errors.get((case.run, case.capability), f"not checked; {report.trouble}")
    assert error is None, error


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_report(client: Client) -> None:
    """A program checks what the table says and no more, in the version that the table says."""
    report = (await seen_of(client)).report
    assert report.trouble == ""
    assert report.version == client.version
    assert set(report.errors) == {(case.run, case.capability) for case in cases_of(client)}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_upstreams(client: Client) -> None:
    """An upstream is asked only for what it offers."""
    for dialect, targets in (await seen_of(client)).asked.items():
        assert targets <= provider.targets_of(dialect)
