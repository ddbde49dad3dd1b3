"""Keep the books of every call: hold what it may cost, write down that it begins, and what it did cost.

Rule: an intent is in the journal before the first byte goes upstream, and every attempt is settled exactly once, in
one synchronous call. Only holding room in a budget may wait, because others may have to be asked. Unless the ledger is
strict, a settlement is written when the answers of that turn of the event loop have left, and so delays none of them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from functools import partial
from time import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.core import outcome as o
from gateway.core import spend
from gateway.core.charging import NOTHING, Bill, charge, usage_of_attempt
from gateway.core.keys import charges_of as limits_of
from gateway.core.keys import counts_tokens
from gateway.core.keys import refusal_of as limit_refusal
from gateway.core.ledger import Content, Ended, Intent, Progress, Settle, encode
from gateway.core.plan import NO_NEEDS
from gateway.core.pricing import cost_of, worst_case
from gateway.dialects.units import answers_of, characters_of, heard_ms
from gateway.dialects.usage import cost_of_headers
from gateway.errors import NO_RETRY, NoCandidate, Refusal
from gateway.stores.journal import JournalFull
from gateway.stores.limits import Unavailable
from gateway.types import CostSource, OnUnknown, Scope, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.core.spend import Spending
    from gateway.metrics import Metrics
    from gateway.proxy.answer import Answer
    from gateway.stores.journal import Journal
    from gateway.stores.limits import Limits
    from gateway.types import Attempt, Budget, Call, Candidate, Charge, Key, Needs, Price, Route, Upstream

_log = logging.getLogger("gateway.books")

# Writing down how far so many have come takes about half a millisecond.
TABS_AT_ONCE = 50
# Of a provider or a model: others may still be asked.
_OF_UPSTREAMS = frozenset({Scope.PROVIDER, Scope.MODEL})

Soon = Callable[[Callable[[], None]], object]
Charged = tuple[tuple["Charge", "Budget"], ...]


class Prices(Protocol):
    """Who knows what an upstream costs."""

    def price_of(self, upstream: Upstream, now: float, tier: str = "") -> Price | None:
        """Return the price at a moment (wall-clock seconds) for a service tier; None if nobody knows it."""


class OverBudget(Exception):
    """There is no room for an attempt in a budget."""

    def __init__(self, budget: Budget, refusal: Refusal, *, is_for_all: bool = True) -> None:
        """`is_for_all`: whatever the budget objects to, it is not this one upstream."""
        super().__init__(refusal.message)
        self.budget = budget
        self.refusal = refusal
        self.is_for_all = is_for_all and not budget.downgrade and budget.scope not in _OF_UPSTREAMS
        """No other upstream would do: the budget is not one upstream's, and it says to refuse."""


class NotOnDisk(Refusal):
    """The ledger is strict, and its disk does not do its work."""

    status = 503
    type = "server_error"
    code = "ledger_unavailable"


class Books:
    """What all calls of one process have in common: prices, budgets, the journal."""

    def __init__(self, writer: str, prices: Prices, limits: Limits, metrics: Metrics) -> None:
        """`writer`: 12 hexadecimal digits that no other process has. Nothing is written down before `use`."""
        self.writer = writer
        self.prices = prices
        self.limits = limits
        self.metrics = metrics
        self.journal: Journal | None = None
        self.is_strict = False
        """A client sees the end of its answer only when the charge is on disk."""
        self.keeps_content = False
        self.is_short: Callable[[], bool] = lambda: False
        """There will soon be no room to write anything down."""
        self.open_tabs: set[Tab] = set()
        """Attempts under way."""
        self.unrecorded = 0
        """Attempts that the disk had no room for."""
        self._soon: Soon | None = None
        self._endings: list[Callable[[], bytes]] = []
        """Settlements that are not written yet."""
        self._numbers = itertools.count(1)
        self._baselines: dict[str, tuple[Route, Upstream | None]] = {}

    def __repr__(self) -> str:
        return f"<Books {self.writer}, {len(self.open_tabs)} open>"

    def use(
        self, journal: Journal, *, is_strict: bool = False, keeps_content: bool = False, soon: Soon | None = None
    ) -> None:
        """Write everything down from now on. `soon`: the event loop's `call_soon`; without it everything is at once."""
        self.journal = journal
        self._soon = None if is_strict else soon
        self.is_strict = is_strict
        self.keeps_content = keeps_content

    def open(self, request_id: bytes, key: Key, route: Route, call: Call, needs: Needs, spending: Spending) -> Tab:
        """Begin a call, with the budgets of its ruleset."""
        return Tab(self, f"{self.writer}{next(self._numbers):010x}", request_id, key, route, call, needs, spending)

    async def count_refused(self, request_id: bytes, key: Key) -> Refusal | None:
        """Count a request that is refused before it is a call; return what it is told instead if the key has no room.

        Names that nobody knows and bodies that nobody can read cost the gateway as much as calls do.
        """
        if key.requests_per_min is None:
            return None
        now = time()
        charges = limits_of(msgspec.structs.replace(key, tokens_per_min=None, max_streams=None), NO_NEEDS, now)
        lease = f"{request_id.decode('latin-1')}/refused"
        try:
            full = await self.limits.hold(lease, charges, now)
        except Unavailable:
            return None
        if full is not None:
            self.metrics.key_refused("rate_limit")
            left = full.limit - sum(self.limits.counted(full.account, full.window_start))
            return limit_refusal(full, now, left=max(0, left))
        self.limits.settle(lease, charges, (1,), now)
        return None

    def go_on(self, now: float) -> Iterator[None]:
        """Write down how far the attempts under way have come, and hold what they hold for longer. Every 2 s.

        Yields now and then, for others to go on meanwhile.
        """
        leases: list[str] = []
        for number, tab in enumerate(list(self.open_tabs)):
            if number % TABS_AT_ONCE == TABS_AT_ONCE - 1:
                yield
            tab.go_on(leases)
        self.limits.renew(leases, now)  # without any too: what could not be counted at once is counted then

    def write(self, record: bytes, *, settles: bool = False) -> int:
        """Append a record to the journal; return its position, 0 if there is no journal or no room."""
        if self.journal is None:
            return 0
        try:
            return self.journal.append(record, reserve=settles)
        except JournalFull as error:
            return self.without_record(error)

    def without_record(self, error: JournalFull) -> int:
        """There is no room for a record: say so once, and return the position that means that."""
        if not self.unrecorded:
            _log.error("the ledger cannot be written: %s; calls without a budget go on unrecorded", error)
        self.unrecorded += 1
        return 0

    def write_ending(self, ending: Callable[[], bytes]) -> int:
        """Append a settlement soon; return its position if that was at once, else 0."""
        if self._soon is None:
            return self.write(ending(), settles=True)
        if not self._endings:
            self._soon(self.write_endings)
        self._endings.append(ending)
        return 0

    def write_endings(self) -> None:
        """Append all settlements that are not written yet."""
        endings, self._endings = self._endings, []
        for ending in endings:
            try:
                self.write(ending(), settles=True)
            except Exception:  # noqa: BLE001  # the others must be written all the same
                _log.exception("a settlement could not be written")

    async def on_disk(self, position: int) -> None:
        """Return when the record at a position is on the disk, as far as the disk says the truth.

        Raises:
            NotOnDisk: it is not, and will not be.
        """
        if self.journal is None or not position:
            raise NotOnDisk("the ledger is strict, and its disk is full")
        flushed: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
        self.journal.when_flushed(position, partial(_tell, flushed))
        if (error := await flushed) is not None:
            raise NotOnDisk(f"the ledger is strict, and its disk fails: {error.strerror or error}")

    def baseline(self, route: Route) -> Upstream | None:
        """Return the first upstream of a route that costs something: what free ones are compared with."""
        known = self._baselines.get(route.name)
        if known is None or known[0] is not route:
            paid = next((one.upstream for one in route.candidates if not one.upstream.ability.free), None)
            if len(self._baselines) >= spend.MOST_KEPT:
                self._baselines.clear()
            known = self._baselines[route.name] = (route, paid)
        return known[1]


class Tab:
    """What one call runs up. At most one attempt is under way at a time."""

    __slots__ = (
        "_attempt", "_began_at", "_books", "_call", "_characters", "_charged", "_id", "_key", "_key_charges", "_n",
        "_needs", "_price", "_request_id", "_route", "_settled", "_spending", "_told", "answer", "candidate", "cost",
        "downgraded", "is_fallback", "position", "used_tokens",
    )  # fmt: skip

    def __init__(
        self, books: Books, identity: str, request_id: bytes, key: Key, route: Route, call: Call, needs: Needs,
        spending: Spending,
    ) -> None:  # fmt: skip
        self._books = books
        self._id = identity
        self._request_id = request_id
        self._key = key
        self._key_charges: Sequence[Charge] = ()
        self._route = route
        self._call = call
        self._needs = needs
        self._spending = spending
        self._n = 0
        self._attempt = ""
        self._began_at = 0.0
        self._charged: Charged = ()
        self._price: Price | None = None
        self._characters = 0
        """To be read out, if the upstream charges by that."""
        self._settled = True
        self._told = 0
        """What the client was answered, as the settlement of the last attempt has it."""
        self.candidate: Candidate | None = None
        self.answer: Answer | None = None
        self.cost: int | None = None
        """Of the attempt that was settled last, in nano-USD."""
        self.downgraded = False
        """The call was sent elsewhere by a budget, and those that do so no longer object."""
        self.is_fallback = False
        """Another upstream answers than the first choice, which failed or was not there."""
        self.position = 0
        """Of the last record in the journal."""
        self.used_tokens = 0

    def __repr__(self) -> str:
        return f"<Tab {self._id}/{self._n}{' settled' if self._settled else ''}>"

    # -- the limits of the key

    def is_limited(self) -> bool:
        """Tell whether the key has limits of its own, for which `admit` must be awaited."""
        key = self._key
        return not key.requests_per_min is key.tokens_per_min is key.max_streams is None

    async def admit(self) -> None:
        """Hold what the key is limited in.

        Raises:
            Refusal: there is no room.
        """
        now = time()
        charges = limits_of(self._key, self._needs, now)
        try:
            full = await self._books.limits.hold(self._id, charges, now)
        except Unavailable:
            return  # limits of a rate are no money: they are not worth an outage
        if full is not None:
            self._books.metrics.key_refused("rate_limit")
            left = full.limit - sum(self._books.limits.counted(full.account, full.window_start))
            raise limit_refusal(full, now, left=max(0, left))
        self._key_charges = charges

    def downgrade(self, route: Route) -> None:
        """A budget sends the call elsewhere: from now on it is a call of this route."""
        self._route = route
        self.downgraded = True

    # -- one attempt

    def charged(self, candidate: Candidate) -> Charged:
        """Return the budgets that an attempt needs room in; mostly none."""
        self.candidate = candidate
        upstream = candidate.upstream
        self._began_at = now = time()
        self._price = price = self._books.prices.price_of(upstream, now)
        self._characters = characters_of(self._call) if price is not None and price.characters else 0
        spending = self._spending
        if upstream.ability.free or not spending.concerns(self._key):
            return ()
        worst: int | None = None
        if price is not None:
            longest, answers = upstream.ability.max_output_tokens, answers_of(self._call)
            worst = worst_case(self._needs, price, longest, answers=answers, characters=self._characters)
        return spending.charges(self._key, self._route, upstream, spend.labels_of(self._key), worst, now)

    async def hold(self, charged: Charged) -> None:
        """Hold room for an attempt in its budgets.

        Raises:
            OverBudget: there is none, or it cannot be known whether there is and the budget says to refuse then.
        """
        books = self._books
        if books.is_short():
            refusal = NoCandidate("the ledger's disk is full, so calls with a budget are refused", code="ledger_full")
            raise OverBudget(charged[0][1], refusal)
        if self._price is None and (objection := spend.objection_to_unpriced(charged)) is not None:
            named = f"{self.candidate.upstream.id}: {objection}" if self.candidate is not None else objection
            raise OverBudget(
                _refusing(charged), NoCandidate(named, code="price_unknown", headers=[NO_RETRY]), is_for_all=False
            )
        asked = [charge for charge, budget in charged if not (self.downgraded and budget.downgrade)]
        try:
            full = await books.limits.hold(f"{self._id}/{self._n + 1}", asked, self._began_at)
        except Unavailable:
            unknown = spend.refusal_while_unknown(charged)
            if unknown is not None:
                raise OverBudget(_refusing(charged), unknown) from None
            full = None
        if full is not None:
            budget = next(budget for charge, budget in charged if charge is full or charge.account == full.account)
            books.metrics.budget_refused(budget.scope.value)
            counted, held = books.limits.counted(full.account, full.window_start)
            raise OverBudget(budget, spend.refusal_of(full, budget, counted, held, self._began_at))
        self._charged = charged

    def begin(self, candidate: Candidate) -> None:
        """Write down that an attempt begins. Its room is held; the next thing is to send it."""
        self._n += 1
        self._attempt = attempt = f"{self._id}/{self._n}"
        self._settled = False
        self.candidate = candidate
        self.answer = None
        books, key, upstream, needs, price = self._books, self._key, candidate.upstream, self._needs, self._price
        books.open_tabs.add(self)
        if (journal := books.journal) is None:
            return
        cost: int | None = 0
        if not upstream.ability.free:
            cost = None
            if price is not None:
                read = needs.input_tokens * price.input + self._characters * price.characters
                cost = read // 1_000_000 + price.request
        intent = Intent(
            attempt, self._began_at, self._request_id.decode("latin-1"), key.id or key.name, self._route.name,
            self._call.endpoint.name, upstream.provider.name, upstream.model, self._call.stream,
            spend.labels_of(key) if key.labels else (), needs.input_tokens, cost,
        )  # fmt: skip
        try:  # as `write` does; whoever waits for an answer waits for this
            self.position = journal.append(encode(intent))
        except JournalFull as error:
            self.position = books.without_record(error)

    def give_back(self) -> None:
        """The attempt that room was held for is not made after all."""
        if self._charged:
            charges = [charge for charge, _ in self._charged]
            self._books.limits.settle(f"{self._id}/{self._n + 1}", charges, [0] * len(charges), time())
            self._charged = ()

    def go_on(self, leases: list[str]) -> None:
        """Write down how far the attempt has come, and add what it holds to `leases`."""
        if self._charged:
            leases.append(self._attempt)
        if self._key_charges:
            leases.append(self._id)
        answer, candidate = self.answer, self.candidate
        if answer is None or candidate is None or self._settled or not answer.passed_bytes:
            return
        usage = self._estimate(answer, roughly=True)
        cost: int | None = 0
        if not candidate.upstream.ability.free:
            cost = None if self._price is None else cost_of(usage, self._price)[0]
        progress = Progress(self._attempt, usage.output_tokens, cost, answer.provider_id())
        self._books.write(encode(progress), settles=True)

    def settle(self, attempt: Attempt, usage: Usage | None, call_status: int) -> None:
        """Settle the attempt under way. Does nothing if it is settled.

        `call_status`: what the client was answered, 0 if the call goes on.
        """
        if self._settled:
            return
        self._settled = True
        self._told = call_status
        books, answer, upstream = self._books, self.answer, attempt.candidate.upstream
        books.open_tabs.discard(self)
        usage, is_estimate = self._usage(attempt, usage)
        self.used_tokens += usage.input_tokens + usage.output_tokens if usage is not None else 0
        bill = self._bill(upstream, usage, is_estimate=is_estimate)
        cost = self.cost = bill.cost_nanousd
        books.metrics.charged(upstream, self._route.configured, cost, bill.source, bill.saved_nanousd)
        if books.journal is not None:
            whose = self._price.source if self._price is not None else ""
            money = (cost, bill.source, bill.estimate_nanousd, bill.saved_nanousd, whose)
            self.position = books.write_ending(
                partial(
                    _ending, self._attempt, self._began_at, attempt, usage, is_estimate, money, answer, call_status,
                    int(self.is_fallback),
                )
            )  # fmt: skip
        if self._charged:
            self._count(cost)

    def end(self, call_status: int) -> None:
        """The call is over."""
        if self._n and call_status not in (0, self._told) and self._books.journal is not None:
            self._books.write_endings()  # the settlement goes before
            self._books.write(encode(Ended(self._attempt, call_status)), settles=True)
        if self._key_charges:
            amounts = [self.used_tokens if counts_tokens(one) else 1 for one in self._key_charges]
            self._books.limits.settle(self._id, self._key_charges, amounts, time())
            self._key_charges = ()

    def keep(self, request: bytes, response: bytes) -> None:
        """Write down prompt and answer. What is longer than a record may be is not kept."""
        journal = self._books.journal
        record = encode(Content(self._attempt, request, response))
        if journal is not None and len(record) <= journal.largest:
            self._books.write(record)

    # -- what it comes to

    def _usage(self, attempt: Attempt, reported: Usage | None) -> tuple[Usage | None, bool]:
        """Return what an attempt used, and whether that is an estimate."""
        answer, call = self.answer, self._call
        is_plain = attempt.outcome is o.OK and reported is not None and not reported.is_suspect
        if is_plain and reported is not None and reported.output_tokens and not self._characters:
            return reported, False  # as nearly always, and as `usage_of_attempt` would say
        if reported is None and answer is not None:
            reported = answer.judge.usage  # of an answer that was not relayed
        usage, is_estimate = usage_of_attempt(
            attempt.outcome,
            attempt.status or 0,
            reported,
            sent=answer is not None and answer.sent,
            finished=answer is not None and answer.judge.finished,
            writes=call.endpoint.generates,
            guess=self._guess,
        )
        if self._characters and usage is not NOTHING:
            is_estimate = is_estimate and usage is not None
            usage = msgspec.structs.replace(usage or NOTHING, characters=self._characters)
        return usage, is_estimate

    def _guess(self) -> Usage | None:
        """Return what the attempt will have used, by the request and what passed of the answer, if that tells."""
        answer = self.answer
        if not self._call.endpoint.answers_json:
            price = self._price
            if answer is None or price is None or not price.audio_hour:
                return None
            end = answer.end_of_body()
            heard = heard_ms(end, max(len(end), answer.passed_bytes))
            return Usage(audio_ms=heard) if heard else None
        if self._needs.input_tokens == 0:
            return None  # a form: not counted in tokens that we could guess
        return Usage(input_tokens=self._needs.input_tokens) if answer is None else self._estimate(answer)

    def _estimate(self, answer: Answer, *, roughly: bool = False) -> Usage:
        said = answer.judge.usage
        return Usage(
            input_tokens=said.input_tokens if said is not None and said.input_tokens else self._needs.input_tokens,
            output_tokens=answer.output_tokens_so_far(roughly=roughly) if self._call.endpoint.generates else 0,
        )

    def _bill(self, upstream: Upstream, usage: Usage | None, *, is_estimate: bool) -> Bill:
        """Return what the attempt comes to."""
        books, price, free = self._books, self._price, upstream.ability.free
        reported = baseline = None
        if usage is not None and usage is not NOTHING:
            if usage.service_tier:
                price = books.prices.price_of(upstream, self._began_at, usage.service_tier)
            if usage.cost_nanousd is None and self.answer is not None and upstream.provider.kind == "litellm":
                reported = cost_of_headers(self.answer.headers)
            if free and (usage.input_tokens or usage.output_tokens):
                paid = books.baseline(self._route)
                baseline = books.prices.price_of(paid, self._began_at) if paid is not None else None
        return charge(usage, price, is_estimate=is_estimate, free=free, reported_nanousd=reported, baseline=baseline)

    def _count(self, cost: int | None) -> None:
        books, charged, amount = self._books, self._charged, cost or 0
        self._charged = ()
        charges = [charge for charge, _ in charged]
        books.limits.settle(self._attempt, charges, [amount] * len(charges), time())


def _ending(
    identity: str, began_at: float, attempt: Attempt, usage: Usage | None, is_estimate: bool,  # noqa: FBT001  # by `partial`
    money: tuple[int | None, CostSource, int | None, int, str], answer: Answer | None, call_status: int, fallback: int,
) -> bytes:  # fmt: skip
    """Return the record of a settlement. `money`: cost, where it is from, the estimate, what was saved, whose price."""
    return encode(
        Settle(
            identity, began_at + attempt.duration_s, attempt.outcome.name, attempt.status or 0, usage, is_estimate,
            *money, answer.sha256() if answer is not None and call_status else b"",
            int((attempt.first_token_s or 0.0) * 1000), int(attempt.duration_s * 1000),
            answer.provider_id() if answer is not None else "", attempt.outcome is o.HUNG_UP, call_status,
            fallback,
        )
    )  # fmt: skip


def _refusing(charged: Charged) -> Budget:
    """Return the budget that refuses what nobody knows: the one that `spend` lets speak."""
    return next(budget for _, budget in charged if budget.on_unknown is OnUnknown.REFUSE)


def _tell(flushed: asyncio.Future[OSError | None], error: OSError | None) -> None:
    if not flushed.done():  # the client may have left meanwhile
        flushed.set_result(error)
