"""Count limits in Redis, for all processes that share one. What it promises is in `limits`.

Everything goes over one connection that `run` keeps, many questions to a round trip: no call waits for a connection to
be made, and what is let go of comes after what was held. What Redis has counted is a copy of the ledger's sums. Each
process tells with every question what it has seen counted, so a Redis that forgot knows at once what anybody knew.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.core.bounded import keep
from gateway.stores.limits import LEASE_S, Unavailable
from gateway.stores.redis_scripts import HOLD, RENEW, SETTLE
from gateway.stores.redis_tally import MOST_LEASES, Slot, Tally, clamped, distinct, expiry, slot_of
from gateway.stores.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis.asyncio import Redis

    from gateway.types import Charge

_log = logging.getLogger("gateway.redis")

# What a call may wait for, however Redis is.
WITHIN_S = 0.005
# A loop that is late hears late what Redis has said in time. It looks every TURN_S, and what takes it twice as long is
# not counted, up to LATEST_S.
TURN_S = 0.001
LATEST_S = 0.25
# After so many failures in a row nobody waits, until `run` has heard from Redis: it asks by itself.
TRIP_AFTER = 3
# A connection that is silent for so long is given up; the next one is tried after RETRY_S.
SILENCE_S = 1.0
RETRY_S = 0.25
# With nothing to do: how often it is made sure that the connection stands and that Redis has not forgotten.
BEAT_S = 1.0
# What is still to be told when the process ends gets so long.
LAST_S = 1.0
# How long Redis remembers which batches of a process it has counted.
WRITER_S = 7 * 86_400
# In one round trip, so that Redis is not busy with one for long.
MOST_ASKED = 64
# Settling twice is noticed for so many calls.
MOST_SETTLED = 10_000

# What the scripts return: marker, what is said of calls or batches, and of each account what is counted and held.
_Settled = tuple[str, int, list[int]]
_Held = tuple[str, list[int], list[int]]
_SCRIPTS = {script: sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (HOLD, SETTLE, RENEW)}


def connect(url: str, silence_s: float = SILENCE_S) -> Redis:
    """Return a client that never tries again by itself; nothing is connected yet.

    Raises:
        StoreError: the client library is missing, or `url` is none.
    """
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise StoreError(
            "a Redis is configured and its client is not installed: pip install 'llm-gateway[redis]'"
        ) from error
    try:
        return Redis.from_url(
            url, socket_timeout=silence_s, socket_connect_timeout=silence_s, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        raise StoreError(f"the address of Redis cannot be used: {error}") from error


@dataclass(slots=True, eq=False)
class _Ask:
    """A call that waits for its answer: None if all is held, the charge there is no room for, or why nobody knows."""

    lease: str
    charges: tuple[Charge, ...]
    answer: asyncio.Future[Charge | Unavailable | None]


class RedisLimits:
    """Counters and leases in Redis. `run` must be running: it does all the talking."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "gateway",
        on_amnesia: Callable[[], None] = lambda: None,
        on_counted: Callable[[Charge, int, int], None] | None = None,
        within_s: float = WITHIN_S,
        silence_s: float = SILENCE_S,
        lease_s: float = LEASE_S,
    ) -> None:
        """`on_amnesia`: called when Redis has lost what was counted, so that its owner seeds again from the ledger.

        `on_counted`: told of what was counted here, with what its counter was and what it is now, calls that came
        together as one. Neither may raise. `namespace`: gateways that count together have the same. It is the hash tag
        of all keys, so that one script may touch any of them: in a cluster they are on one node.

        Raises:
            StoreError: the client library is missing, or `url` is none.
        """
        self._client = connect(url, silence_s)
        self._prefix = f"{{{namespace}}}:"
        self._on_amnesia = on_amnesia
        self._on_counted = on_counted
        self._within_s = within_s
        self._lease_ms = int(lease_s * 1000)
        self._writer = secrets.token_hex(6)
        self._tally = Tally()
        self._wake = asyncio.Event()
        self._asks: deque[_Ask] = deque()
        self._held: dict[str, tuple[Charge, ...]] = {}
        self._renewing: dict[str, None] = {}
        self._settled: dict[str, None] = {}
        self._rounds = 0
        self._answered = 0
        """Of the rounds, how many Redis has answered."""
        self._era = ""
        self._acknowledged = 0
        """The batch that Redis must remember, or else it has lost what came last."""
        self._loaded = False
        self._away = False
        self._misses = 0

    def __repr__(self) -> str:
        state = "away" if self._away else "there"
        return f"<RedisLimits {state}, {len(self._held)} leases, {len(self._tally)} accounts to tell of>"

    async def hold(self, lease: str, charges: Sequence[Charge], now: float) -> Charge | None:
        """Hold all charges, or none and return the one there is no room for.

        A lease of that name which is still held is let go of first.

        Raises:
            Unavailable: Redis has not answered in time, or has not lately.
        """
        if not charges:
            return None
        self._tally.sweep(now)
        self._settled.pop(lease, None)
        self._let_go(lease, self._held.pop(lease, ()))
        if self._misses >= TRIP_AFTER:
            raise Unavailable("Redis does not answer")
        ask = _Ask(lease, distinct(charges), asyncio.get_running_loop().create_future())
        self._asks.append(ask)
        self._wake.set()
        answer: Charge | Unavailable | None = Unavailable("the call was given up")
        try:
            answer = await self._heard(ask)
        finally:
            # The answer may come in the very moment in which nobody wants it any more.
            ask.answer.cancel()
            if isinstance(answer, Unavailable) and _is_held(ask):
                self._let_go(lease, ask.charges)
        if isinstance(answer, Unavailable):
            self._misses += 1
            self._nudge()
            raise answer
        self._misses = 0
        if answer is None:
            self._held[lease] = ask.charges
        return answer

    def settle(self, lease: str, charges: Sequence[Charge], amounts: Sequence[int], now: float) -> None:
        """Count what each charge came to, and let go of what was held. It is told to Redis as soon as that is there."""
        if lease in self._settled:
            return
        keep(self._settled, lease, None, MOST_SETTLED)
        self._renewing.pop(lease, None)
        self._tally.sweep(now)
        # Two budgets may count in one account; the call is counted there once. What was held and is not mentioned, is
        # let go of.
        spent = {slot_of(charge): (charge, 0) for charge in self._held.pop(lease, ())}
        spent |= {slot_of(charge): (charge, amount) for charge, amount in zip(charges, amounts, strict=True)}
        for charge, amount in spent.values():
            self._tally.owe(charge, lease, 0 if charge.is_concurrency else amount)
        self._nudge()

    def renew(self, leases: Sequence[str], now: float) -> None:
        """These calls go on."""
        self._tally.sweep(now)
        self._renewing.update(dict.fromkeys(lease for lease in leases if lease in self._held))
        self._nudge()

    def counted(self, account: str, window_start: int) -> tuple[int, int]:
        """Return what Redis last said is counted and held, and what it has not acknowledged yet."""
        return self._tally.counted(Slot(account, window_start))

    def seed(self, account: str, window_start: int, amount: int) -> None:
        """Count at least `amount`, in which is what Redis has not been told yet. A `window_start` of 0 never ends.

        While Redis is away the ledger also knows what others have still to tell, which would then count twice. What is
        known here is put back all the same; so it is only taken where that is nothing.
        """
        slot = Slot(account, window_start)
        if not self._away or not self._tally.floor(slot):
            self._tally.seed(slot, amount)
            self._nudge()

    def close(self) -> None:
        """Let go of everything that is held here. `run` tells Redis so when it is cancelled."""
        for lease, charges in self._held.items():
            self._let_go(lease, charges)
        self._held.clear()

    async def open(self) -> None:
        """Connect, before there are calls that would have to wait for it. A Redis that is away is left to `run`."""
        from redis.exceptions import RedisError

        try:
            await self._round()
        except (RedisError, OSError, TimeoutError) as error:
            await self._lost(error)

    async def run(self) -> None:
        """Talk to Redis until cancelled, and then for at most LAST_S if something is still to be told."""
        from redis.exceptions import RedisError

        task = asyncio.current_task()
        try:
            # In Python 3.11 `asyncio.wait_for`, which the client sends with, may swallow the cancellation (cpython
            # issue 86296); but it has been noted.
            while task is not None and not task.cancelling():
                self._wake.clear()
                try:
                    await self._round()
                except (RedisError, OSError, TimeoutError) as error:
                    await self._lost(error)
                    await self._rest(RETRY_S)
                else:
                    if not (self._asks or self._tally or self._renewing):
                        await self._rest(BEAT_S)
        finally:
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(LAST_S):
                    while self._tally:
                        await self._round()
            await self._client.aclose()

    async def _heard(self, ask: _Ask) -> Charge | Unavailable | None:
        """Return the answer, or that Redis has been silent for too long.

        The time is Redis': when fifty calls come in one turn of the loop, one timer for all of it would be up before
        anything is read, and a budget that allows what is unknown would let all of them pass. It begins anew when
        Redis has answered others, which were asked before.
        """
        left_s = self._within_s
        answered = self._answered
        began_at = since = monotonic()
        while left_s > 0 and since - began_at < max(LATEST_S, self._within_s):
            await asyncio.wait((ask.answer,), timeout=TURN_S)
            if ask.answer.done():
                return ask.answer.result()
            now = monotonic()
            if self._answered != answered:
                answered, left_s = self._answered, self._within_s
            elif now - since < 2 * TURN_S:
                left_s -= now - since
            since = now
        return Unavailable(f"Redis did not answer within {self._within_s * 1000:g} ms")

    async def _rest(self, longest_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._wake.wait()

    def _nudge(self) -> None:
        # While it is away it is tried at its own pace, however much there is to tell.
        if not self._away:
            self._wake.set()

    async def _round(self) -> None:
        """Tell and ask what there is, in one round trip.

        Raises:
            RedisError, OSError, TimeoutError: Redis is away, or refuses.
        """
        asks = self._next_asks()
        renewing = list(islice(self._renewing, MOST_LEASES))
        self._tally.next_batch()
        self._rounds += 1
        sent = self._client.pipeline(transaction=False)
        loading = () if self._loaded else tuple(_SCRIPTS)
        for script in loading:
            sent.execute_command("SCRIPT LOAD", script)
        if self._tally.batch:
            self._send_batch(sent)
        if renewing:
            self._send_renewals(sent, renewing)
        # With nobody to ask for, a question about nothing tells whether Redis is there and remembers.
        slots = self._send_asks(sent, asks)
        try:
            answers = await sent.execute(raise_on_error=False)
        except BaseException as error:
            for ask in asks:
                self._give_up(ask, error)
            raise
        self._take(answers[len(loading) :], asks, slots, renewing)
        refused = next((answer for answer in answers if isinstance(answer, Exception)), None)
        # Another round loads what Redis does not know any more, but what it has just been told it should know.
        if refused is not None and (loading or not _is_unknown_script(refused)):
            raise refused
        self._loaded = refused is None
        if refused is None:
            self._misses = 0
            self._answered += 1
        if self._away and refused is None:
            _log.info("Redis is back")
            self._away = False

    def _take(self, answers: list[Any], asks: list[_Ask], slots: Iterable[Slot], renewing: list[str]) -> None:
        """Read the answers of a round, in its order."""
        forgot = False
        left = iter(answers)
        if self._tally.batch and isinstance(answer := next(left), bytes):
            era, last, said = msgspec.msgpack.decode(answer, type=_Settled)
            forgot = self._is_new(era) or last < self._acknowledged
            self._acknowledged = self._tally.number
            for one in self._tally.acknowledge(said):
                if self._on_counted is not None:
                    self._on_counted(*one)
        if renewing and not isinstance(next(left), Exception):
            for lease in renewing:
                self._renewing.pop(lease, None)
        answer = next(left)
        if isinstance(answer, bytes):
            era, refusals, said = msgspec.msgpack.decode(answer, type=_Held)
            forgot |= self._is_new(era)
            self._tally.saw(slots, said)
            for ask, refused in zip(asks, refusals, strict=True):
                self._answer(ask, refused)
        elif _is_unknown_script(answer):
            self._asks.extendleft(reversed(asks))
        else:
            for ask in asks:
                self._give_up(ask, answer)
        if forgot:
            _log.warning("Redis has lost what was counted; what is known here and in the ledger is put back")
            self._tally.owe_all()
            self._renewing.update(dict.fromkeys(self._held))
            self._on_amnesia()

    def _next_asks(self) -> list[_Ask]:
        asks: list[_Ask] = []
        while self._asks and len(asks) < MOST_ASKED:
            ask = self._asks.popleft()
            if not ask.answer.done():
                asks.append(ask)
        return asks

    def _send_batch(self, sent: Any) -> None:
        keys = [f"{self._prefix}era", f"{self._prefix}writer:{self._writer}"]
        accounts = []
        for slot, due in self._tally.batch.items():
            keys += self._keys(slot)
            accounts.append((due.amount, max(due.floor, self._tally.floor(slot)), due.expiry, list(due.leases)))
        arguments = (self._proposal(), self._tally.number, WRITER_S, self._lease_ms)
        sent.evalsha(_SCRIPTS[SETTLE], len(keys), *keys, *arguments, msgspec.msgpack.encode(accounts))

    def _send_renewals(self, sent: Any, leases: list[str]) -> None:
        keys = [f"{self._prefix}era"]
        renewed = []
        for lease in leases:
            for charge in self._held.get(lease, ()):
                keys += self._keys(slot_of(charge))
                renewed.append((lease, clamped(charge.amount), expiry(charge)))
        sent.evalsha(_SCRIPTS[RENEW], len(keys), *keys, self._lease_ms, msgspec.msgpack.encode(renewed))

    def _send_asks(self, sent: Any, asks: list[_Ask]) -> Iterable[Slot]:
        """Ask for all at once, and return the accounts that it is about."""
        keys = [f"{self._prefix}era"]
        places: dict[Slot, int] = {}
        accounts: list[tuple[int, str]] = []
        calls: list[list[str | int]] = []
        for ask in asks:
            call: list[str | int] = [ask.lease]
            for charge in ask.charges:
                slot = slot_of(charge)
                place = places.get(slot)
                if place is None:
                    place = places[slot] = len(places) + 1
                    keys += self._keys(slot)
                    accounts.append((self._tally.floor(slot), expiry(charge)))
                call += (place, clamped(charge.limit), clamped(charge.amount))
            calls.append(call)
        told = msgspec.msgpack.encode((accounts, calls))
        sent.evalsha(_SCRIPTS[HOLD], len(keys), *keys, self._proposal(), self._lease_ms, told)
        return places

    def _answer(self, ask: _Ask, refused: int) -> None:
        if not ask.answer.done():
            for charge in ask.charges:
                self._tally.lasts(charge)
            ask.answer.set_result(ask.charges[refused - 1] if refused else None)
        elif not refused:
            self._let_go(ask.lease, ask.charges)  # It came too late, and nobody will settle it.

    def _give_up(self, ask: _Ask, error: BaseException) -> None:
        if not ask.answer.done():
            ask.answer.set_result(Unavailable(f"Redis: {error!s}" if str(error) else "Redis went away"))
        self._let_go(ask.lease, ask.charges)  # It may be held all the same.

    def _let_go(self, lease: str, charges: Iterable[Charge]) -> None:
        for charge in charges:
            self._tally.owe(charge, lease, 0)
            self._nudge()

    def _is_new(self, era: str) -> bool:
        """Tell whether the marker is another than it was. At the first contact there is nothing to compare."""
        before, self._era = self._era, era
        if before in ("", era):
            return False
        self._acknowledged = 0
        return True

    def _proposal(self) -> str:
        return f"{self._writer}:{self._rounds}"

    def _keys(self, slot: Slot) -> tuple[str, str]:
        name = f"{slot.account}@{slot.window_start}"
        return f"{self._prefix}counted:{name}", f"{self._prefix}leases:{name}"

    async def _lost(self, error: Exception) -> None:
        if not self._away:
            _log.warning("Redis cannot be asked: %s; what is spent is kept here until it can", error)
        self._away = True
        self._loaded = False
        # A failover leaves us with what is now a replica. Whom the name means now, a new connection finds out.
        await self._client.connection_pool.disconnect()


def _is_held(ask: _Ask) -> bool:
    return ask.answer.done() and not ask.answer.cancelled() and ask.answer.result() is None


def _is_unknown_script(error: Exception) -> bool:
    from redis.exceptions import NoScriptError

    return isinstance(error, NoScriptError)
