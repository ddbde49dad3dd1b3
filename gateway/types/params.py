"""Parameters: what the configuration changes in the fields of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Bounds(NamedTuple):
    """The smallest and the largest value of a number, both included. None: no bound on that side."""

    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Params:
    """Changes to the top-level fields of a request. Values are JSON, encoded once at load time.

    `defaults` and `forced` decide the values. Then `drops`, `renames` and `clamps` adapt the fields to the provider,
    whoever set them. `core.params` applies all five.
    """

    defaults: Mapping[str, bytes] = field(default_factory=dict)
    """Added if the client did not set them."""
    forced: Mapping[str, bytes] = field(default_factory=dict)
    """Override the client's values."""
    drops: frozenset[str] = frozenset()
    """Never sent, under the client's name or the provider's."""
    renames: Mapping[str, str] = field(default_factory=dict)
    """Client's name -> provider's name. If a request has both, the provider's name wins."""
    clamps: Mapping[str, Bounds] = field(default_factory=dict)
    """Numbers outside the bounds become the nearer bound. The field has the client's name or the provider's."""

    adapts: bool = field(init=False, compare=False, repr=False)
    """Has drops, renames or clamps."""
    acts: bool = field(init=False, compare=False, repr=False)
    """Has anything at all. An attribute, because every attempt asks."""

    def __post_init__(self) -> None:
        adapts = bool(self.drops or self.renames or self.clamps)
        object.__setattr__(self, "adapts", adapts)
        object.__setattr__(self, "acts", adapts or bool(self.defaults or self.forced))

    def __bool__(self) -> bool:
        return self.acts

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal parameters in one order: hashable, and of types that msgpack knows."""
        return (
            tuple(sorted(self.defaults.items())),
            tuple(sorted(self.forced.items())),
            tuple(sorted(self.drops)),
            tuple(sorted(self.renames.items())),
            tuple((name, *bounds) for name, bounds in sorted(self.clamps.items())),
        )
