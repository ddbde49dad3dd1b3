"""Virtual keys."""

from __future__ import annotations

import msgspec

from gateway.types.money import Window


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A virtual key without its secret. The secret is shown once and stored nowhere."""

    id: str
    """`key_` and twelve hexadecimal digits. Empty for the keys of the configuration and for callers without one."""
    name: str = ""
    digest: bytes = b""
    """SHA-256 of the secret. The digest is not a credential."""
    hint: str = ""
    """The last four characters of the secret, to tell keys apart."""
    routes: tuple[str, ...] = ()
    """Patterns (`role:*`, `openai/gpt-*`) of the names that the key may ask for in `model`. Empty: any name."""
    budget_nanousd: int | None = None
    budget_window: Window = Window.MONTH
    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    max_streams: int | None = None
    """Calls under way at once."""
    expires_at: float | None = None
    """Wall-clock seconds."""
    revoked_at: float | None = None
    created_at: float = 0.0
    labels: tuple[tuple[str, str], ...] = ()
    may_admin: bool = False
    """The key is for administration only and makes no calls. A key of the configuration does both."""
