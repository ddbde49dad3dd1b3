"""The ledger's entry of one attempt: its worst-case cost, its beginning, its progress, and its final cost.

Rule: `hold` if the attempt `needs_room`, then `begin` or `give_back`, then `settle` exactly once. Only `hold` may
wait, because room in a budget may have to be requested from another process.
"""

from __future__ import annotations

from functools import partial
from time import time
from typing import TYPE_CHECKING

import msgspec

from gateway.core import outcome as o
from gateway.core import spend
from gateway.core.charging import NOTHING, Bill, charge, usage_of_attempt
from gateway.core.ledger import Intent, Progress, Settle, encode
from gateway.core.pricing import cost_of, worst_case
from gateway.dialects.plain import characters_of
from gateway.dialects.tags import tags_of
from gateway.dialects.units import answers_of
from gateway.dialects.usage import cost_of_headers
from gateway.errors import NO_RETRY, NoCandidate
from gateway.kinds import kind_of
from gateway.proxy.books import OverBudget
from gateway.proxy.passed import digest_of, guess_of, passed_bytes, provider_id_of, used_so_far
from gateway.proxy.rates import Rates
from gateway.stores.journal import JournalFull
from gateway.stores.limits import Unavailable
from gateway.types import OnUnknown, Receipt, Then

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.proxy.admission import Admission
    from gateway.proxy.answer import Answer
    from gateway.proxy.tab import Tab
    from gateway.types import Attempt, Budget, Candidate, Charge, Price, Route, Usage


class Entry:
    """One attempt in the books."""

    __slots__ = (
        "_admission", "_characters", "_held", "_is_free", "_is_settled", "_price", "_route", "_tab", "answer", "asked",
        "began_at", "bill", "candidate", "identity", "position", "rates",
    )  # fmt: skip

    def __init__(self, tab: Tab, admission: Admission, route: Route, candidate: Candidate) -> None:
        """`route`: the current route of the call; a spent budget may have changed it."""
        self._tab = tab
        self._admission = admission
        self._route = route
        self.candidate = candidate
        self.identity = f"{tab.identity}/{tab.number + 1}"
        """The name of the attempt in the ledger, and of the lease that holds its room in budgets."""
        books, upstream = tab.books, candidate.upstream
        self.began_at = now = time()
        self._price: Price | None = books.prices.price_of(upstream, now)
        self._characters = 0
        """Characters to be read aloud, if the upstream charges by the character; else 0."""
        if self._price is not None and self._price.characters:
            self._characters = characters_of(admission.call)
        self.asked: Sequence[tuple[Charge, Budget]] = ()
        """The budgets in which the attempt needs room, mostly none. With any, `hold` must be awaited."""
        self._is_free = upstream.ability.free or not admission.call.endpoint.charged
        """The attempt costs nothing, whatever its usage."""
        if not self._is_free and admission.ruleset.spending.concerns(tab.key):
            self.asked = self._charges()
        self.rates: Rates | None = None
        """The declared limits of the provider, mostly none. With any, their `hold` must be awaited."""
        if upstream.provider.rates:
            memory, needs = admission.gateway.memory, admission.terms.needs
            self.rates = Rates(books.limits, memory, candidate, needs, self.identity)
        self._held: Sequence[Charge] = ()
        self._is_settled = True
        self.answer: Answer | None = None
        self.bill: Bill | None = None
        """Set when the attempt is settled."""
        self.position = 0
        """Position of the attempt's last record in the journal."""

    def __repr__(self) -> str:
        return f"<Entry {self.identity}{' settled' if self.bill is not None else ''}>"

    @property
    def admission(self) -> Admission:
        """The call that the attempt is made for."""
        return self._admission

    def cancel(self) -> bool:
        """End the call of this attempt now, for an administrator. False: it is about to end by itself."""
        if self._tab.cancel is None:
            return False
        self._tab.cancel()
        return True

    def _charges(self) -> Sequence[tuple[Charge, Budget]]:
        key, upstream = self._tab.key, self.candidate.upstream
        worst: int | None = None
        if self._price is not None:
            longest, answers = upstream.ability.max_output_tokens, answers_of(self._admission.call)
            needs = self._admission.terms.needs
            worst = worst_case(needs, self._price, longest, answers=answers, characters=self._characters)
        return self._admission.ruleset.spending.charges(
            key, self._route, upstream, spend.labels_of(key), worst, self.began_at
        )

    # -- before the attempt

    async def hold(self) -> None:
        """Hold room for the attempt in its budgets.

        Raises:
            OverBudget: a budget has no room. Or its room is unknown, and the budget refuses in that case.
        """
        books, asked = self._tab.books, self.asked
        if books.is_short():
            refusal = NoCandidate("the ledger's disk is full, so calls with a budget are refused", code="ledger_full")
            raise OverBudget(asked[0][1], refusal)
        if self._price is None and (objection := spend.objection_to_unpriced(asked)) is not None:
            named = f"{self.candidate.upstream.id}: {objection}"
            refusal = NoCandidate(named, code="price_unknown", headers=[NO_RETRY])
            raise OverBudget(_refusing(asked), refusal, others_may_do=True)
        charges = [charge for charge, budget in asked if not (self._tab.downgraded and budget.downgrade)]
        try:
            full = await books.limits.hold(self.identity, charges, self.began_at)
        except Unavailable:
            unknown = spend.refusal_while_unknown(asked)
            if unknown is not None:
                raise OverBudget(_refusing(asked), unknown) from None
            full = None
        if full is not None:
            budget = next(budget for charge, budget in asked if charge is full or charge.account == full.account)
            books.metrics.budget_refused(budget.scope.value)
            counted, held = books.limits.counted(full.account, full.window_start)
            raise OverBudget(budget, spend.refusal_of(full, budget, counted, held, self.began_at))
        self._held = [charge for charge, _ in asked]

    def give_back(self) -> None:
        """Release the room of an attempt that is not made."""
        if self._held:
            self._tab.books.limits.settle(self.identity, self._held, [0] * len(self._held), time())
            self._held = ()
        if self.rates is not None:
            self.rates.settle(sent=False, tokens=0)

    def begin(self) -> None:
        """Journal the intent of the attempt. Call this after `hold`, and just before the request is sent."""
        tab, admission, upstream, price = self._tab, self._admission, self.candidate.upstream, self._price
        books, call, needs, key = tab.books, admission.call, admission.terms.needs, tab.key
        tab.number += 1
        self._is_settled = False
        books.under_way.add(self)
        if self.rates is not None:
            self.rates.begun()
        if (journal := books.journal) is None:
            return
        cost: int | None = 0
        if not self._is_free:
            cost = None
            if price is not None:
                read = needs.input_tokens * price.input + self._characters * price.characters
                cost = read // 1_000_000 + price.request
        intent = Intent(
            self.identity, self.began_at, admission.request_id.decode("latin-1"), key.id or key.name, self._route.name,
            call.endpoint.name, upstream.provider.name, upstream.model, call.stream,
            spend.labels_of(key) if key.labels else (), needs.input_tokens, cost, self._route.arm,
            admission.parent, tags_of(call, recorded) if (recorded := admission.ruleset.config.recorded) else "",
        )  # fmt: skip
        try:  # inlined from `Books.write`, because the caller waits for this
            self.position = journal.append(encode(intent))
        except JournalFull as error:
            self.position = books.without_record(error)

    def receipt(self) -> Receipt | None:
        """Return the money of the attempt, once it is settled."""
        bill = self.bill
        if bill is None:
            return None
        return Receipt(
            self.identity, self.candidate.upstream, self.began_at, bill.cost_nanousd, bill.source, bill.saved_nanousd
        )

    # -- while it goes on

    def go_on(self, leases: list[str]) -> None:
        """Write the progress of the attempt to the journal, and add the leases that its call holds to `leases`."""
        if self._held:
            leases.append(self.identity)
        if lease := self._tab.lease:
            leases.append(lease)
        if self.rates is not None and (lease := self.rates.lease):
            leases.append(lease)
        answer = self.answer
        if answer is None or self._is_settled or not passed_bytes(answer):
            return
        usage = used_so_far(answer, self._admission, roughly=True)
        cost: int | None = 0
        if not self._is_free:
            cost = None if self._price is None else cost_of(usage, self._price)[0]
        progress = Progress(self.identity, usage.output_tokens, cost, provider_id_of(answer))
        self._tab.books.write(encode(progress), settles=True)

    # -- at its end

    def settle(self, attempt: Attempt, usage: Usage | None, call_status: int, *, is_fallback: bool) -> None:
        """Settle the attempt. Does nothing if the attempt is already settled.

        `call_status`: the status that the client got, 0 if the call goes on. `is_fallback`: the candidate is not the
        call's first choice.
        """
        if self._is_settled:
            return
        self._is_settled = True
        tab = self._tab
        tab.told = call_status
        books = tab.books
        books.under_way.discard(self)
        usage, is_estimate = self._usage(attempt, usage)
        if usage is not None:
            tab.used_tokens += usage.input_tokens + usage.output_tokens
        bill = self.bill = self._billed(usage, is_estimate=is_estimate)
        if books.journal is not None:
            ending = partial(self._ending, attempt, usage, is_estimate, bill, call_status, is_fallback)
            self.position = books.write_ending(ending)
        if self._held:
            held, self._held = self._held, ()
            books.limits.settle(self.identity, held, [bill.cost_nanousd or 0] * len(held), time())
        if self.rates is not None:
            sent = self.answer is not None and self.answer.sent and attempt.outcome.then is not Then.AGAIN
            self.rates.settle(sent=sent, tokens=None if usage is None else usage.input_tokens + usage.output_tokens)

    def _usage(self, attempt: Attempt, reported: Usage | None) -> tuple[Usage | None, bool]:
        """Return the usage of the attempt, and whether the usage is an estimate."""
        answer, call = self.answer, self._admission.call
        if not call.endpoint.charged:
            return NOTHING, False
        is_plain = attempt.outcome is o.OK and reported is not None and not reported.is_suspect
        if is_plain and reported is not None and reported.output_tokens and not self._characters:
            return reported, False  # the usual case; `usage_of_attempt` would return the same
        if reported is None and answer is not None:
            reported = answer.judge.usage  # of an answer that was not relayed
        usage, is_estimate = usage_of_attempt(
            attempt.outcome,
            attempt.status or 0,
            reported,
            sent=answer is not None and answer.sent,
            finished=answer is not None and answer.judge.finished,
            writes=call.endpoint.generates,
            guess=partial(guess_of, answer, self._admission, self._price),
        )
        if self._characters and usage is not NOTHING:
            is_estimate = is_estimate and usage is not None
            usage = msgspec.structs.replace(usage or NOTHING, characters=self._characters)
        return usage, is_estimate

    def _billed(self, usage: Usage | None, *, is_estimate: bool) -> Bill:
        """Return the bill of the attempt."""
        books, price, upstream = self._tab.books, self._price, self.candidate.upstream
        free = upstream.ability.free
        reported = baseline = None
        if usage is not None and usage is not NOTHING:
            if usage.service_tier:
                price = books.prices.price_of(upstream, self.began_at, usage.service_tier)
            if usage.cost_nanousd is None and self.answer is not None and kind_of(upstream.provider).cost_in_headers:
                reported = cost_of_headers(self.answer.headers)
            if free and (usage.input_tokens or usage.output_tokens):
                paid = books.baseline(self._route)
                baseline = books.prices.price_of(paid, self.began_at) if paid is not None else None
        return charge(usage, price, is_estimate=is_estimate, free=free, reported_nanousd=reported, baseline=baseline)

    def _ending(
        self, attempt: Attempt, usage: Usage | None, is_estimate: bool, bill: Bill, call_status: int, fallback: bool,  # noqa: FBT001  # by `partial`
    ) -> bytes:  # fmt: skip
        """Return the record of the settlement."""
        answer, price = self.answer, self._price
        return encode(
            Settle(
                self.identity, self.began_at + attempt.duration_s, attempt.outcome.name, attempt.status or 0, usage,
                is_estimate, bill.cost_nanousd, bill.source, bill.estimate_nanousd, bill.saved_nanousd,
                price.source if price is not None else "",
                digest_of(answer) if answer is not None and call_status else b"",
                int((attempt.first_token_s or 0.0) * 1000), int(attempt.duration_s * 1000),
                provider_id_of(answer) if answer is not None else "", attempt.outcome is o.HUNG_UP, call_status,
                int(fallback),
            )
        )  # fmt: skip


def _refusing(asked: Sequence[tuple[Charge, Budget]]) -> Budget:
    """Return the first budget that refuses unknown amounts; the refusal by `spend` is about the same budget."""
    return next(budget for _, budget in asked if budget.on_unknown is OnUnknown.REFUSE)
