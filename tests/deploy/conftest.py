"""The two servers the dashboard tests look at, started once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deploy.installed import installed
from tests.deploy.observed import Gateway, Prometheus, running_gateway, running_prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def gateway_under_traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that has served requests of every kind; `prometheus` sends some more."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        gateway.send_requests(10)
        yield gateway


@pytest.fixture(scope="session")
def prometheus(gateway_under_traffic: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen the counters of the gateway rise, and has evaluated the rules since."""
    binary = installed("prometheus", package="prometheus")
    with running_prometheus(binary, tmp_path_factory.mktemp("prometheus"), gateway_under_traffic.address) as server:
        # A rate needs the series to be there before it rises.
        server.wait_for_scrapes(2)
        gateway_under_traffic.send_requests(20)
        server.wait_for_scrapes(3)
        yield server
