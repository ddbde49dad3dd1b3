"""Read the settings of the ledger, the stores and the budgets."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from gateway.config import overlay
from gateway.config.settings import LedgerSettings
from gateway.core.names import nearest, quoted
from gateway.core.spend import WEEKDAYS, Calendar
from gateway.types import Budget, OnUnknown, RouteKind, Scope, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.config import shape
    from gateway.config.source import Path
    from gateway.core.names import Directory

    Complain = Callable[[Path, str], None]

_SCHEMES = {"database": ("postgresql://", "postgres://"), "redis": ("redis://", "rediss://", "unix://")}


def ledger_settings(
    environ: Mapping[str, str],
    complain: Complain,
    ledger: shape.Ledger | None = None,
    stores: shape.Stores | None = None,
) -> LedgerSettings:
    """Return the settings of the ledger. GATEWAY_DATABASE_URL and GATEWAY_REDIS_URL win over the file."""
    usual = LedgerSettings()
    return LedgerSettings(
        enabled=ledger.enabled if ledger else usual.enabled,
        strict=ledger.durability == "strict" if ledger else usual.strict,
        content=ledger.content if ledger else usual.content,
        retention_days=ledger.retention if ledger else usual.retention_days,
        state_dir=overlay.state_dir(environ),
        database_url=_url("GATEWAY_DATABASE_URL", environ, stores.database if stores else None, "database", complain),
        redis_url=_url("GATEWAY_REDIS_URL", environ, stores.redis if stores else None, "redis", complain),
    )


def _url(variable: str, environ: Mapping[str, str], written: str | None, field: str, complain: Complain) -> str:
    said = environ.get(variable, "").strip()
    where: Path = ("$", variable) if said else ("stores", field)
    url = said or (written or "").strip()
    if url and not url.startswith(_SCHEMES[field]):
        complain(where, f"must begin with {_SCHEMES[field][0]}")  # the rest may hold a password
        return ""
    return url


def calendar(defaults: shape.Defaults) -> Calendar:
    """Return when the days and weeks of budgets begin."""
    return Calendar(defaults.timezone or UTC, WEEKDAYS.index(defaults.week_starts))


def budgets(written: Sequence[shape.Budget], directory: Directory, complain: Complain) -> Iterator[Budget]:
    """Yield the budgets, and complain about duplicates and unknown names."""
    seen: set[tuple[str, str, str]] = set()
    for i, one in enumerate(written):
        name = (one.name or "").removeprefix("role:") if one.scope == Scope.ROLE else one.name or ""
        if (identity := (one.scope, name, one.window)) in seen:
            complain(("budgets", i), f"there is already a budget of {one.scope} {name} with the window {one.window}")
        seen.add(identity)
        known: Sequence[str] = ()
        if one.scope == Scope.ROLE:
            known = [route.name for route in directory.routes.values() if route.kind is RouteKind.ROLE]
            known = [route.removeprefix("role:") for route in known]
        elif one.scope == Scope.PROVIDER:
            known = list(directory.providers)
        if name and known and name not in known:
            complain(("budgets", i, "name"), f"no {one.scope} {quoted(name)}{nearest(name, known)}")
        if one.scope == Scope.MODEL and name and "/" not in name:
            complain(("budgets", i, "name"), "write a model as provider/model here")
        yield Budget(
            scope=Scope(one.scope),
            limit_nanousd=one.limit_usd,
            window=Window(one.window),
            name=name,
            alert_at=tuple(sorted(set(one.alert_at))),
            downgrade=one.then == "downgrade",
            to=one.to or "",
            on_unknown=OnUnknown(one.on_unknown),
            webhook=one.webhook or "",
        )
