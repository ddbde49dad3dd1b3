"""Limits counted in Redis, for all processes that share one. The contract is in `limits`.

All commands go over one connection, kept by `run`, and many share a round trip. So no call waits for a connection, and
a release always follows its hold. The counters in Redis are a copy of the ledger's sums. Every command also carries the
counts that its process has seen, so a Redis that lost its data gets them back at once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict, deque
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

# How long a call waits for Redis at most.
WITHIN_S = 0.005
# A busy event loop reads late what Redis answered in time. So a waiting call looks every TURN_S, and a turn that took
# twice as long does not count against WITHIN_S. After LATEST_S the call gives up all the same.
TURN_S = 0.001
LATEST_S = 0.25
# After so many failures in a row, calls do not wait until Redis has answered `run`, which keeps asking by itself.
TRIP_AFTER = 3
# A connection silent for SILENCE_S is closed; the next is tried after RETRY_S.
SILENCE_S = 1.0
RETRY_S = 0.25
# When idle, how often `run` checks that the connection works and that Redis still has its data.
BEAT_S = 1.0
# How long `run` tries to send what is left when the process ends.
LAST_S = 1.0
# How long Redis remembers which batches of a process it has counted.
WRITER_S = 7 * 86_400
# Per round trip, so that no script keeps Redis busy for long.
MOST_ASKED = 64
# So many settled calls are remembered, to ignore a second settlement.
MOST_SETTLED = 10_000

# What the scripts return: the marker; the last batch, or a verdict per call; counted and held of each account.
_Settled = tuple[str, int, list[int]]
_Held = tuple[str, list[int], list[int]]
_SCRIPTS = {script: sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (HOLD, SETTLE, RENEW)}


def connect(url: str, silence_s: float = SILENCE_S) -> Redis:
    """Return a client that never retries by itself. It connects at its first command.

    Raises:
        StoreError: the client library is missing, or the URL is invalid.
    """
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise StoreError("stores.redis needs a client that is missing: pip install 'llm-gateway[redis]'") from error
    try:
        return Redis.from_url(
            url, socket_timeout=silence_s, socket_connect_timeout=silence_s, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        raise StoreError(f"stores.redis is not a Redis URL: {error}") from error


@dataclass(slots=True, eq=False)
class _Ask:
    """A call waiting to hold its charges. Answer: None if all are held, the charge without room, or Unavailable."""

    lease: str
    charges: tuple[Charge, ...]
    answer: asyncio.Future[Charge | Unavailable | None]


class RedisLimits:
    """Counters and leases in Redis. `run` must be running: only it sends commands."""

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
        """`on_amnesia`: called when Redis has lost its counters, so that the owner seeds them from the ledger again.

        `on_counted`: called with a charge counted here, and its counter before and after. Calls counted in one round
        trip are reported as one. Neither callback may raise. `namespace`: the same for gateways that count together. It
        is the hash tag of all keys, so a cluster has them on one node, where one script may touch any of them.

        Raises:
            StoreError: the client library is missing, or the URL is invalid.
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
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._rounds = 0
        self._answered = 0
        """Rounds that Redis has answered."""
        self._era = ""
        self._acknowledged = 0
        """The last batch that Redis acknowledged. If Redis reports an older one, it has lost data."""
        self._loaded = False
        self._away = False
        self._misses = 0

    def __repr__(self) -> str:
        state = "away" if self._away else "there"
        return f"<RedisLimits {state}, {len(self._held)} leases, {len(self._tally)} accounts to report>"

    async def hold(self, lease: str, charges: Sequence[Charge], now: float) -> Charge | None:
        """Hold all charges; or hold none, and return the one there is no room for.

        If a lease of this name is still held, it is released first.

        Raises:
            Unavailable: Redis did not answer in time, or did not answer the last TRIP_AFTER calls.
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
            # The answer may arrive just when this call is cancelled or gives up. A lease held then is released.
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
        """Count the real amount of each charge and release the lease, in Redis as soon as it answers."""
        if lease in self._settled:
            return
        keep(self._settled, lease, None, MOST_SETTLED)
        self._renewing.pop(lease, None)
        self._tally.sweep(now)
        # Two budgets may share an account; the call is counted there once. Charges that were held but are not in
        # `charges` are released with an amount of 0.
        spent = {slot_of(charge): (charge, 0) for charge in self._held.pop(lease, ())}
        spent |= {slot_of(charge): (charge, amount) for charge, amount in zip(charges, amounts, strict=True)}
        for charge, amount in spent.values():
            self._tally.owe(charge, lease, 0 if charge.is_concurrency else amount)
        self._nudge()

    def renew(self, leases: Sequence[str], now: float) -> None:
        """Extend the leases of calls under way."""
        self._tally.sweep(now)
        self._renewing.update(dict.fromkeys(lease for lease in leases if lease in self._held))
        self._nudge()

    def counted(self, account: str, window_start: int) -> tuple[int, int]:
        """Return what Redis last reported as counted (plus amounts not yet acknowledged) and as held."""
        return self._tally.counted(Slot(account, window_start))

    def seed(self, account: str, window_start: int, amount: int) -> None:
        """Raise the counter to at least `amount`, amounts not yet sent included. A `window_start` of 0 never ends.

        While Redis is away, the ledger's `amount` includes what other processes have yet to send, which would then be
        counted twice. So `amount` is used only if this process has seen no count, which it would send anyway.
        """
        slot = Slot(account, window_start)
        if not self._away or not self._tally.floor(slot):
            self._tally.seed(slot, amount)
            self._nudge()

    def close(self) -> None:
        """Release all leases of this process. `run` sends this to Redis when it is cancelled."""
        for lease, charges in self._held.items():
            self._let_go(lease, charges)
        self._held.clear()

    async def open(self) -> None:
        """Connect before the first call comes. If Redis does not answer, `run` keeps trying."""
        from redis.exceptions import RedisError

        try:
            await self._round()
        except (RedisError, OSError, TimeoutError) as error:
            await self._lost(error)

    async def run(self) -> None:
        """Talk to Redis until cancelled; then send what is left, for at most LAST_S."""
        from redis.exceptions import RedisError

        task = asyncio.current_task()
        try:
            # The client uses `asyncio.wait_for`, which may swallow a cancellation in Python 3.11 (cpython issue 86296).
            # `cancelling` still counts it.
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
        """Return the answer, or Unavailable if Redis has been silent for too long.

        Only the time that Redis takes counts. Fifty calls in one turn of the loop would exhaust a plain timer before
        anything is read, and a budget with `on_unknown: allow` would let all of them pass. The time starts again when
        Redis answers earlier questions.
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
        # While Redis is away, `run` tries every RETRY_S, however much is waiting.
        if not self._away:
            self._wake.set()

    async def _round(self) -> None:
        """Send what is due and ask what is wanted, in one round trip.

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
        # Sent even without asks: it shows whether Redis answers and still has its data.
        slots = self._send_asks(sent, asks)
        try:
            answers = await sent.execute(raise_on_error=False)
        except BaseException as error:
            for ask in asks:
                self._give_up(ask, error)
            raise
        self._take(answers[len(loading) :], asks, slots, renewing)
        refused = next((answer for answer in answers if isinstance(answer, Exception)), None)
        # An unknown script is loaded in the next round; but if it was loaded in this one, something is wrong.
        if refused is not None and (loading or not _is_unknown_script(refused)):
            raise refused
        self._loaded = refused is None
        if refused is None:
            self._misses = 0
            self._answered += 1
        if self._away and refused is None:
            _log.info("Redis answers again")
            self._away = False

    def _take(self, answers: list[Any], asks: list[_Ask], slots: Iterable[Slot], renewing: list[str]) -> None:
        """Process the answers of a round, in the order in which they were asked for."""
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
            _log.warning("Redis has lost its counters; they are restored from this process and the ledger")
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
        """Send one question for all calls, and return the accounts that it mentions."""
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
            self._let_go(ask.lease, ask.charges)  # The answer came too late: the call has gone and will not settle.

    def _give_up(self, ask: _Ask, error: BaseException) -> None:
        if not ask.answer.done():
            ask.answer.set_result(Unavailable(f"Redis: {error!s}" if str(error) else "Redis went away"))
        self._let_go(ask.lease, ask.charges)  # Redis may hold the lease all the same.

    def _let_go(self, lease: str, charges: Iterable[Charge]) -> None:
        for charge in charges:
            self._tally.owe(charge, lease, 0)
            self._nudge()

    def _is_new(self, era: str) -> bool:
        """Tell whether Redis' marker has changed. At the first contact there is none to compare with."""
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
            _log.warning("Redis does not answer: %s; until it does, this process keeps what is spent", error)
        self._away = True
        self._loaded = False
        # After a failover this connection may lead to a replica. A new one resolves the name again.
        await self._client.connection_pool.disconnect()


def _is_held(ask: _Ask) -> bool:
    return ask.answer.done() and not ask.answer.cancelled() and ask.answer.result() is None


def _is_unknown_script(error: Exception) -> bool:
    from redis.exceptions import NoScriptError

    return isinstance(error, NoScriptError)
