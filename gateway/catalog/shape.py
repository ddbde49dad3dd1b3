"""The shape of a curated record, and the shorthand in which the tables are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gateway.types import Capability, Price

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Letters of a table's code. Upper case: the model has the capability; lower case: it lacks it; absent: unknown.
_LETTERS = {
    "T": Capability.TOOLS,
    "V": Capability.VISION,
    "A": Capability.AUDIO,
    "J": Capability.JSON_SCHEMA,
    "R": Capability.REASONING,
    "S": Capability.STREAMING,
    "E": Capability.EMBEDDINGS,
}
NANO = 1_000_000_000
_Set = frozenset[Capability]
_sets: dict[_Set, _Set] = {}


@dataclass(frozen=True, slots=True)
class Family:
    """The record of the models whose names match a pattern."""

    pattern: str
    """A regular expression for the beginning of a name. The match must end where a word ends."""
    name: str
    """The name to show."""
    family: str
    maker: str
    has: _Set
    lacks: _Set
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    """The maker's list price."""
    sold_at: tuple[str, ...] = ()
    """Hosts that charge the list price."""
    strength: int | None = None
    """0 to 100. With open weights: the points by which the family exceeds others of its size."""
    open_weights: bool = False
    """Anyone may serve the model, so no list price holds, and its limits depend on the server."""
    usual_size_b: float | None = None
    source: str = ""
    dated: str = ""

    @property
    def chats(self) -> bool:
        """Whether the model chats, as opposed to embeddings, images or audio."""
        return Capability.STREAMING in self.has


def same(capabilities: Iterable[Capability]) -> _Set:
    """Return a shared set for equal capabilities: thousands of models need only a few dozen sets."""
    found = frozenset(capabilities)
    return _sets.setdefault(found, found)


def decoded(code: str) -> tuple[_Set, _Set]:
    """Read a code. A code without `E` or `e` is a chat model's: it streams and makes no embeddings."""
    if "e" not in code.lower():
        code += "Se"
    elif code.startswith("E"):
        code += "".join(letter for letter in "tvajrs" if letter.upper() not in code)
    has = same(_LETTERS[letter] for letter in code if letter.isupper())
    return has, same(_LETTERS[letter.upper()] for letter in code if letter.islower())


def usd(prices: str) -> Price | None:
    """Read the prices `input output [cached input]`, in USD per million tokens."""
    if not prices:
        return None
    amounts = [nano(one) for one in prices.split()]
    return Price(amounts[0], amounts[1], amounts[2] if len(amounts) > 2 else None, source="curated")


def nano(amount: str) -> int:
    """Convert a plain decimal number of dollars to nano-USD, exactly."""
    whole, _, part = amount.partition(".")
    return int(whole) * NANO + int((part + "0" * 9)[:9])


def other(name: str, code: str) -> Family:
    """Make a record for a purpose, whatever the family."""
    has, lacks = decoded(code)
    return Family("", name, "", "", has, lacks, source="its name")


_Closed = tuple[str, str, str, str, "int | None", "int | None", str, "int | None"]
_Open = tuple[str, str, str, str, "int | None", int] | tuple[str, str, str, str, "int | None", int, float]


class Group(NamedTuple):
    """Rows of a table as written. They become records when a name is first looked up, not at import."""

    maker: str
    source: str
    dated: str
    sold_at: tuple[str, ...]
    rows: tuple[_Closed, ...] = ()
    open_rows: tuple[_Open, ...] = ()

    def families(self) -> Iterator[Family]:
        """Yield the records, in their order."""
        for pattern, name, family, code, context, output, prices, strength in self.rows:
            has, lacks = decoded(code)
            yield Family(
                pattern, name, family, self.maker, has, lacks, context, output, usd(prices), self.sold_at, strength,
                source=self.source, dated=self.dated,
            )  # fmt: skip
        for pattern, name, family, code, context, points, *size in self.open_rows:
            has, lacks = decoded(code)
            yield Family(
                pattern, name, family, self.maker, has, lacks, context, strength=points, open_weights=True,
                usual_size_b=size[0] if size else None, source=self.source, dated=self.dated,
            )  # fmt: skip


def closed(maker: str, source: str, dated: str, sold_at: tuple[str, ...], *rows: _Closed) -> tuple[Group, ...]:
    """Describe models that one maker sells.

    Columns: pattern, name, family, code, context, longest output, prices for `usd`, strength.
    """
    return (Group(maker, source, dated, sold_at, rows),)


def open_weights(maker: str, source: str, dated: str, *rows: _Open) -> tuple[Group, ...]:
    """Describe models that anyone may serve.

    Columns: pattern, name, family, code, context, points above others of its size, and the usual size for names without
    one.
    """
    return (Group(maker, source, dated, (), open_rows=rows),)
