"""The refusals of a change of the configuration."""

from __future__ import annotations

from gateway.errors import Refusal


class VersionMissing(Refusal):
    """A change must say which version it was made for, so that two editors cannot undo each other's work."""

    status = 428
    code = "version_missing"


class VersionMismatch(Refusal):
    """The configuration has changed since the client read it."""

    status = 412
    code = "version_mismatch"


class Invalid(Refusal):
    """The new value itself is wrong."""

    status = 400
    code = "invalid_configuration"


class WouldBreak(Refusal):
    """The new value is right, but another part of the configuration needs what it takes away."""

    status = 409
    code = "would_break"


class Unstored(Refusal):
    """The change cannot be stored."""

    status = 503
    type = "server_error"
    code = "state_unavailable"
