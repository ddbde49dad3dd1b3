"""Load gateway.yaml, or do without one, into a frozen `Config`."""

from gateway.config.settings import Config, Detected, ServerSettings

__all__ = ["Config", "Detected", "ServerSettings"]
