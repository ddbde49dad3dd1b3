"""The shape of a curated record, and the short hand that the tables are written in."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from gateway.core.money import in_nano
from gateway.types import Capability, Price

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# In a table's code a capital says that a model has it, a small letter that it has not; what is not written is unknown.
_LETTERS = {
    "T": Capability.TOOLS,
    "V": Capability.VISION,
    "A": Capability.AUDIO,
    "J": Capability.JSON_SCHEMA,
    "R": Capability.REASONING,
    "S": Capability.STREAMING,
    "E": Capability.EMBEDDINGS,
}

_Set = frozenset[Capability]
_sets: dict[_Set, _Set] = {}


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of the models whose names fit a pattern."""

    pattern: str
    """A regular expression for the beginning of a name, which must end where a word ends."""
    name: str
    """For people."""
    family: str
    maker: str
    has: _Set
    lacks: _Set
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    """The list price of the maker."""
    sold_at: tuple[str, ...] = ()
    """Hosts that charge the list price."""
    strength: int | None = None
    """0 to 100; with open weights the points by which it is better than others of its size."""
    open_weights: bool = False
    """Anybody may serve it: no list price holds, and limits are what a server was started with."""
    usual_size_b: float | None = None
    source: str = ""
    dated: str = ""

    @property
    def chats(self) -> bool:
        """It takes chats, as opposed to embeddings, images or sound."""
        return Capability.STREAMING in self.has


def same(capabilities: Iterable[Capability]) -> _Set:
    """Return one and the same set for the same capabilities: there are thousands of models and a few dozen sets."""
    found = frozenset(capabilities)
    return _sets.setdefault(found, found)


def decoded(code: str) -> tuple[_Set, _Set]:
    """Read a code. A row that says nothing of embeddings is of a chat model: it streams and makes none."""
    if "e" not in code.lower():
        code += "Se"
    elif code.startswith("E"):
        code += "".join(letter for letter in "tvajrs" if letter.upper() not in code)
    has = same(_LETTERS[letter] for letter in code if letter.isupper())
    return has, same(_LETTERS[letter.upper()] for letter in code if letter.islower())


def usd(prices: str) -> Price | None:
    """Read `input output [cached input]` in USD per million tokens, as price lists print them."""
    if not prices:
        return None
    amounts = [in_nano(Decimal(one)) for one in prices.split()]
    return Price(amounts[0], amounts[1], amounts[2] if len(amounts) > 2 else None, source="curated")


def other(name: str, code: str) -> Family:
    """Make a record for models of any family that are for one purpose."""
    has, lacks = decoded(code)
    return Family("", name, "", "", has, lacks, source="its name")


_Closed = tuple[str, str, str, str, "int | None", "int | None", str, "int | None"]
_Open = tuple[str, str, str, str, "int | None", int] | tuple[str, str, str, str, "int | None", int, float]


class Group(NamedTuple):
    """Rows of a table as they are written. Records are made of them when a name calls for it, not at import."""

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
    """Write down models that one maker sells.

    Columns: pattern, name, family, code, context, longest output, prices in USD per million, strength.
    """
    return (Group(maker, source, dated, sold_at, rows),)


def open_weights(maker: str, source: str, dated: str, *rows: _Open) -> tuple[Group, ...]:
    """Write down models that anybody may serve.

    Columns: pattern, name, family, code, context, points above others of its size, and the size where no name tells.
    """
    return (Group(maker, source, dated, (), open_rows=rows),)
