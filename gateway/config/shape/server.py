"""`server`: where and how the gateway listens."""

from __future__ import annotations

from pydantic import Field, model_validator

from gateway.config import notations as n
from gateway.config.shape.strict import Strict


class ServerTimeouts(Strict):
    """How long the gateway waits for a client."""

    header: n.Duration = Field(default=10.0, description="For the request line and headers.")
    body: n.Duration = Field(default=60.0, description="For the request body.")
    write: n.Duration = Field(default=60.0, description="For a client that does not read its answer.")


class Cors(Strict):
    """The pages of other sites that may call the gateway from a browser. By default none."""

    origins: n.Origins = Field(
        default=[],
        description="The sites, written as origins. https://*.example.com means any subdomain, http://localhost:* any "
        "port, and * every site.",
        examples=[["https://app.example.com", "http://localhost:3000"]],
    )
    credentials: n.Flag = Field(
        default=False, description="Pages may send cookies. The gateway reads none, but a proxy before it may."
    )
    max_age: n.Duration = Field(default=600.0, description="How long a browser may remember a preflight.")

    @model_validator(mode="after")
    def _not_everybody_with_credentials(self) -> Cors:
        if self.credentials and "*" in self.origins:
            raise ValueError("credentials cannot be allowed for every site; name the origins, or leave credentials out")
        return self


class Server(Strict):
    """Where and how the gateway listens. A change of host, port or workers needs a restart."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="The address to bind. Beyond loopback, set api_keys. GATEWAY_HOST wins.",
        examples=["0.0.0.0"],
    )
    port: n.Whole = Field(default=8400, ge=0, le=65535, description="The port to bind. GATEWAY_PORT wins.")
    workers: n.Whole = Field(default=1, ge=1, le=256, description="The number of processes that serve.")
    api_keys: list[str] = Field(
        default=[],
        description="The keys that clients may use, each of at least 16 characters. Empty entries are ignored. "
        "GATEWAY_API_KEY is added.",
        examples=[["${GATEWAY_API_KEY:-}"]],
    )
    admin_keys: list[str] = Field(
        default=[],
        description="The keys for the admin API, each of at least 16 characters. Without any, api_keys serve it too. "
        "Empty entries are ignored. GATEWAY_ADMIN_KEY is added.",
        examples=[["${GATEWAY_ADMIN_KEY:-}"]],
    )
    console_hosts: list[str] = Field(
        default=[],
        description="The names under which browsers reach the console, beside this machine's and plain addresses.",
        examples=[["gateway.example.com"]],
    )
    max_body: n.Size = Field(default=32 * 1024 * 1024, description="How much of a request body is held in memory.")
    timeouts: ServerTimeouts = Field(default=ServerTimeouts(), description="How long to wait for a client.")
    drain: n.Duration = Field(default=30.0, description="How long calls in flight may go on after a stop.")
    drain_delay: n.Wait = Field(
        default=0.0,
        description="How long connections are still accepted after a stop, while /readyz answers 503. "
        "GATEWAY_DRAIN_DELAY wins.",
    )
    max_connections: n.Whole | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="The most client connections in each process. By default, half of the file descriptors.",
    )
    cors: Cors = Field(default=Cors(), description="The pages of other sites that may call the gateway.")
    watch: n.Flag = Field(
        default=True,
        description="Read the configuration again when its files change. false: at SIGHUP and `gateway reload` only.",
    )
