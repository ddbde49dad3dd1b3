"""What answers say of limits: every recorded one, every way to write it, and what is made of nonsense."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.quota import (
    LARGEST,
    LONGEST_RESET_S,
    NOTHING_KNOWN,
    Limit,
    Quota,
    after,
    merge,
    read_limits,
    without_past,
)
from gateway.core.waits import retry_after_s
from tests.faults.recipes import FIXTURES

if TYPE_CHECKING:
    from gateway.types import Header

NOW = 1_787_150_051.0
"""2026-08-19 14:34:11 UTC, when Anthropic's answers were recorded."""
RECORDED = sorted(path.stem for path in FIXTURES.glob("*.headers"))


class Said(NamedTuple):
    """One limit, as it ought to be understood."""

    unit: str
    remaining: float
    limit: float | None
    reset_s: float
    refills: bool = False


def headers(**lines: str) -> list[Header]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in lines.items()]


def recorded(name: str) -> list[Header]:
    lines = (FIXTURES / f"{name}.headers").read_bytes().split(b"\r\n")[1:-2]
    return [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]


def read(said: list[Header], now: float = NOW) -> tuple[set[Said], int]:
    limits, ignored = read_limits(said, now)
    return {
        Said(one.unit, one.remaining, one.limit, round(one.reset_at - now, 3), one.refills) for one in limits
    }, ignored


ANTHROPIC = {
    Said("requests", 999, 1000, 0),
    Said("input-tokens", 450_000, 450_000, 1),
    Said("output-tokens", 90_000, 90_000, 1),
    Said("tokens", 540_000, 540_000, 1),
}
# Every recorded answer that says something of limits; all others say nothing.
EXPECTED = {
    "anthropic_429": {Said("input-tokens", 0, 30_000, 42)},
    "anthropic_stream": ANTHROPIC,
    "anthropic_midstream_overloaded": ANTHROPIC,
    # 250 a minute, and 0 until the reset: this stack counts seconds
    "azure_stream": {Said("requests", 249, 250, 0), Said("tokens", 249_993, 250_000, 0)},
    # 14400 a day fill up by one every 6 s; tokens are per minute
    "groq_stream": {Said("requests", 14_399, 14_400, 6, True), Said("tokens", 5987, 6000, 0.13, True)},
    "groq_429": {Said("requests", 14_398, 14_400, 17.4, True), Said("tokens", 0, 6000, 6.49, True)},
    "openai_stream": {Said("requests", 4999, 5000, 0.012, True), Said("tokens", 1_999_984, 2_000_000, 0, True)},
    "openai_429_tpm": {Said("requests", 499, 500, 0.12, True), Said("tokens", 0, 30_000, 1.34, True)},
    # milliseconds since the epoch, long past by NOW's clock and clamped to now
    "openrouter_429_free_daily": {Said("requests", 0, 50, 0)},
    # no word of a reset: a minute
    "xai_stream": {Said("requests", 1800, 1800, 60), Said("tokens", 10_000_000, 10_000_000, 60)},
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_answers(name: str) -> None:
    """Each yields exactly the limits that it states."""
    assert read(recorded(name)) == (EXPECTED.get(name, set()), 0)


def test_the_free_day_of_openrouter() -> None:
    """Read on the day it was recorded: until midnight UTC."""
    assert read(recorded("openrouter_429_free_daily"), 1_780_963_200.0 - 3600) == ({Said("requests", 0, 50, 3600)}, 0)


def test_retry_after_is_not_asked_of_successes() -> None:
    """Anthropic sends it with a 200; no limit comes of it."""
    with_it = recorded("anthropic_stream")
    assert retry_after_s(with_it, NOW) == 53.0
    assert read(with_it) == read([line for line in with_it if line[0] != b"retry-after"])


DIALECTS = {
    "cerebras": (
        headers(
            x_ratelimit_limit_requests_day="14400", x_ratelimit_remaining_requests_day="14399",
            x_ratelimit_reset_requests_day="33011.382867", x_ratelimit_limit_tokens_minute="60000",
            x_ratelimit_remaining_tokens_minute="59990", x_ratelimit_reset_tokens_minute="11.382867",
        ),
        {Said("requests-day", 14_399, 14_400, 33_011.383), Said("tokens-minute", 59_990, 60_000, 11.383)},
    ),
    "mistral": (
        headers(
            x_ratelimit_limit_req_minute="100", x_ratelimit_remaining_req_minute="99",
            x_ratelimit_limit_tokens_minute="100000", x_ratelimit_remaining_tokens_minute="99969",
            x_ratelimit_tokens_query_cost="31",
        ),
        {Said("requests-minute", 99, 100, 60), Said("tokens-minute", 99_969, 100_000, 60)},
    ),
    "mistral, an older account": (
        headers(
            x_ratelimit_limit_req_10_second="60", x_ratelimit_remaining_req_10_second="59",
            x_ratelimit_limit_tokens_month="1000000", x_ratelimit_remaining_tokens_month="999",
        ),
        {Said("requests-10-second", 59, 60, 10), Said("tokens-month", 999, 1_000_000, LONGEST_RESET_S)},
    ),
    "together": (
        headers(
            x_ratelimit_limit="10", x_ratelimit_remaining="9", x_ratelimit_reset="2",
            x_tokenlimit_limit="3000", x_tokenlimit_remaining="2990", x_tokenlimit_reset="1",
        ),
        {Said("requests", 9, 10, 2), Said("tokens", 2990, 3000, 1)},
    ),
    "fireworks: per second": (
        headers(
            x_ratelimit_limit_tokens_prompt="60000", x_ratelimit_remaining_tokens_prompt="59000",
            x_ratelimit_limit_tokens_generated="600", x_ratelimit_remaining_tokens_generated="0",
            x_ratelimit_over_limit="yes",
        ),
        {Said("tokens-prompt", 59_000, 60_000, 1), Said("tokens-generated", 0, 600, 1)},
    ),
    "cohere, a trial key": (
        headers(
            x_trial_endpoint_call_limit="20", x_trial_endpoint_call_remaining="19",
            x_endpoint_monthly_call_limit="1000",
        ),
        {Said("requests-minute", 19, 20, 60)},
    ),
    "azure, the stack that counts milliseconds": (
        headers(
            x_ratelimit_limit_requests="120", x_ratelimit_remaining_requests="119",
            x_ratelimit_renewalperiod_requests="60", x_ratelimit_reset_requests="500",
        ),
        {Said("requests", 119, 120, 0.5)},
    ),
    "digitalocean: seconds since the epoch": (
        headers(
            x_ratelimit_limit_tokens_per_minute="1000", x_ratelimit_remaining_tokens_per_minute="0",
            x_ratelimit_reset_tokens_per_minute=str(int(NOW) + 30),
        ),
        {Said("tokens-per-minute", 0, 1000, 30)},
    ),
    "IETF, structured": (
        headers(
            ratelimit_policy='"burst";q=100;w=60, "daily";q=1000;w=86400, "tokens";q=5000;w=60;qu="tokens"',
            ratelimit='"burst";r=50;t=30, "daily";r=900, "tokens";r=5;t=7',
        ),
        {
            Said("requests (burst)", 50, 100, 30),
            Said("requests (daily)", 900, 1000, 86_400),
            Said("tokens (tokens)", 5, 5000, 7),
        },
    ),
    "IETF, a name without quotes": (headers(ratelimit="default;r=0;t=5"), {Said("requests (default)", 0, None, 5)}),
    "IETF, old": (
        headers(ratelimit_limit="100", ratelimit_remaining="3", ratelimit_reset="50"),
        {Said("requests", 3, 100, 50)},
    ),
    "IETF, old, the limit with its policy": (
        headers(ratelimit_limit="100, 100;w=60", ratelimit_remaining="3", ratelimit_reset="50"),
        {Said("requests", 3, None, 50)},
    ),
    "nothing said of what remains": (
        headers(x_ratelimit_limit_requests="100", x_ratelimit_reset_requests="1s"), set(),
    ),
    "other headers": (headers(x_ratelimit_key="7", ratelimits="7", x_ratelimit_remaining_requests_extra="7"),
                      {Said("requests-extra", 7, None, 60)}),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects(name: str) -> None:
    """Documented or seen, but not recorded by us."""
    said, expected = DIALECTS[name]
    assert read(said) == (expected, 0)


@pytest.mark.parametrize(
    ("value", "reset_s", "refills"),
    [
        ("0", 0, False),
        ("12", 12, False),
        ("1.5", 1.5, False),
        ("12ms", 0.012, True),
        ("0s", 0, True),
        ("6m0s", 360, True),
        ("20m52.666s", 1252.666, True),
        ("17.399999999s", 17.4, True),
        ("1h2m3s", 3723, True),
        (f"{int(NOW) + 90}", 90, False),
        (f"{(int(NOW) + 90) * 1000}", 90, False),
        ("2026-08-19T14:34:41Z", 30, False),
        ("2026-08-19T16:34:41+02:00", 30, False),
        ("2026-08-19T14:34:41", 30, False),
        ("Wed, 19 Aug 2026 14:34:41 GMT", 30, False),
        # in the past: it is over
        ("2026-08-19T14:34:01Z", 0, False),
        (f"{int(NOW) - 90}", 0, False),
        (f"{(int(NOW) - 90) * 1000}", 0, False),
        # longer than a day: nobody is parked for good
        ("999999", LONGEST_RESET_S, False),
        ("999h", LONGEST_RESET_S, False),
        ("2099-01-01T00:00:00Z", LONGEST_RESET_S, False),
    ],
)
def test_resets(value: str, reset_s: float, refills: bool) -> None:
    """The ways in which providers say when."""
    said = headers(
        x_ratelimit_limit_requests="10", x_ratelimit_remaining_requests="1", x_ratelimit_reset_requests=value
    )
    assert read(said) == ({Said("requests", 1, 10, reset_s, refills)}, 0)


@pytest.mark.parametrize("value", ["-1", "1e18", "soon", "", "NaN", "inf", "9" * 15, "9" * 19, "9" * 5000, "٣", "1 2"])
def test_absurd_resets(value: str) -> None:
    """They are counted, and a minute is assumed: the rest may be right."""
    said = headers(x_ratelimit_remaining_requests="1", x_ratelimit_reset_requests=value)
    assert read(said) == ({Said("requests", 1, None, 60)}, 1)


@pytest.mark.parametrize("value", ["-1", "1e18", "9" * 18, "9" * 5000, "many", "", "NaN", "inf", "0x10", "1_000", "٣"])
def test_absurd_remainders(value: str) -> None:
    """They are counted, and say nothing."""
    assert read(headers(x_ratelimit_limit_requests="9", x_ratelimit_remaining_requests=value)) == (set(), 1)
    structured = headers(ratelimit=f'"a";r={value};t=1, "b";r=2;t=1')
    assert read(structured) == ({Said("requests (b)", 2, None, 1)}, 1)


def test_an_absurd_limit_is_none() -> None:
    """What remains still counts."""
    said = headers(x_ratelimit_limit_requests="-5", x_ratelimit_remaining_requests="3")
    assert read(said) == ({Said("requests", 3, None, 60)}, 0)


texts = st.text(st.characters(max_codepoint=255), max_size=40)
NAMES = (
    "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-limit-tokens", "ratelimit",
    "x-ratelimit-remaining-tokens", "ratelimit-policy", "anthropic-ratelimit-tokens-reset", "x-ratelimit-",
    "anthropic-ratelimit-tokens-remaining", "x-ratelimit-renewalperiod-requests",
)  # fmt: skip
VALUES = texts | st.sampled_from(
    ["0", "1e18", "-1", "1s", "-inf", "Mon, 99 Foo 2026", "0001-01-01", "9999-12-31T23:59:59Z"]
)


@given(st.lists(st.tuples(st.sampled_from(NAMES) | texts, VALUES), max_size=12))
def test_anything_goes(lines: list[tuple[str, str]]) -> None:
    """No header is a reason to fail, and no limit lasts longer than a day."""
    limits, _ = read_limits([(name.encode(), value.encode("latin-1")) for name, value in lines], NOW)
    for limit in limits:
        assert 0 <= limit.remaining <= 2e12
        assert NOW <= limit.reset_at <= NOW + LONGEST_RESET_S


@pytest.mark.parametrize(
    "value", ["x;a=" + " " * 60_000 + ";!", "x" * 60_000, ";" * 60_000, "," * 60_000, '"' * 60_000]
)
def test_a_long_value_takes_no_time(value: str) -> None:
    """Hostile headers are as long as a head may be."""
    started = time.perf_counter()
    read_limits([(b"ratelimit", value.encode()), (b"x-ratelimit-reset-requests", value.encode())], NOW)
    assert time.perf_counter() - started < 0.25


# -- what is left


BUCKET = Limit("requests", 0, NOW, NOW + 60, 60, refills=True)
WINDOW = Limit("requests", 5, NOW, NOW + 60, 60)


@pytest.mark.parametrize(
    ("limit", "passed_s", "left"),
    [
        (WINDOW, 0, 5), (WINDOW, 59.9, 5), (WINDOW, 60, 60),
        (BUCKET, 0, 0), (BUCKET, 15, 15), (BUCKET, 60, 60), (BUCKET, 600, 60),
        (Limit("requests", 5, NOW, NOW + 60), 61, LARGEST),
        (Limit("requests", 5, NOW, NOW), 0, LARGEST),
    ],
)  # fmt: skip
def test_what_is_left(limit: Limit, passed_s: float, left: float) -> None:
    """A window gives all back at its end, a bucket little by little."""
    assert limit.left(NOW + passed_s) == left


@pytest.mark.parametrize(
    ("limit", "need", "ready_s"),
    [
        (WINDOW, 5, 0), (WINDOW, 6, 60), (WINDOW, 600, 60),
        (BUCKET, 1, 1), (BUCKET, 30, 30), (BUCKET, 600, 60),
        (Limit("requests", 0, NOW, NOW + 6, refills=True), 1, 6),
    ],
)  # fmt: skip
def test_when_enough_is_left(limit: Limit, need: float, ready_s: float) -> None:
    """The bucket is ready as soon as it holds enough."""
    assert limit.ready_at(need, NOW) == NOW + ready_s


TOKENS = Limit("tokens", 1000, NOW, NOW + 30, 6000)


@pytest.mark.parametrize(
    ("limits", "begun", "input_tokens", "output_tokens", "ready_s", "short"),
    [
        ((), (), 9e9, 9e9, 0, ""),
        ((WINDOW,), (), 0, 0, 0, ""),
        # what began since is not counted yet
        ((WINDOW,), (NOW - 2, NOW - 1, NOW), 0, 0, 0, ""),
        ((WINDOW,), (NOW + 1,) * 4, 0, 0, 0, ""),
        ((WINDOW,), (NOW + 1,) * 5, 0, 0, 60, "requests"),
        ((TOKENS,), (), 800, 200, 0, ""),
        ((TOKENS,), (), 800, 201, 30, "tokens"),
        ((TOKENS,), (NOW + 1,), 800, 200, 30, "tokens"),
        ((Limit("input-tokens", 500, NOW, NOW + 9),), (), 501, 0, 9, "input-tokens"),
        ((Limit("output-tokens", 500, NOW, NOW + 9),), (), 501, 0, 0, ""),
        ((Limit("tokens-generated", 0, NOW, NOW + 1),), (), 0, 1, 1, "tokens-generated"),
        ((Limit("input-images", 0, NOW, NOW + 9),), (), 10, 10, 0, ""),
        # of several, the one that is short for longest
        ((WINDOW, Limit("requests-day", 0, NOW, NOW + 9000), TOKENS), (NOW + 1,) * 5, 2000, 0, 9000, "requests-day"),
    ],
)
def test_shortages(
    limits: tuple[Limit, ...],
    begun: tuple[float, ...],
    input_tokens: float,
    output_tokens: float,
    ready_s: float,
    short: str,
) -> None:
    """A call is held against every limit that it is counted in."""
    found = Quota(limits).shortage(begun, input_tokens, output_tokens, NOW)
    assert ((found.until - NOW, found.why.partition(":")[0]) if found is not None else (0, "")) == (ready_s, short)


def test_after_the_reset_we_count_ourselves() -> None:
    """As many as the limit says begin at once; the next waits until the first of them is a window old."""
    quota = Quota((Limit("requests", 0, NOW, NOW + 10, 3),))
    begun = [NOW + 11.0, NOW + 12.0]
    assert quota.shortage(begun, 0, 0, NOW + 13) is None
    short = quota.shortage([*begun, NOW + 13], 0, 0, NOW + 14)
    assert short is not None
    assert short.until == NOW + 71
    assert quota.shortage([*begun, NOW + 13], 0, 0, NOW + 71) is None


def test_a_call_larger_than_the_limit_is_tried() -> None:
    """Our estimate may be wrong, and waiting would not help."""
    quota = Quota((Limit("tokens", 0, NOW, NOW + 10, 100),))
    short = quota.shortage((), 500, 0, NOW)
    assert short is not None
    assert (short.until, short.is_certain) == (NOW + 10, False)
    assert quota.shortage((), 500, 0, NOW + 10) is None


def test_of_a_declared_limit_the_rest_is_certain() -> None:
    """The gateway counts it itself, so a plan need not doubt it."""
    short = Quota((Limit("requests-day (declared)", 0, NOW, NOW + 10, 100, is_declared=True),)).shortage((), 1, 1, NOW)
    assert short is not None
    assert short.is_certain


# -- what is known


def test_the_later_question_has_the_right_answer() -> None:
    """Answers overtake each other; the one that was asked for last counts, however late it is read."""
    old = Limit("requests", 19, NOW + 1, NOW + 60, 20, asked_at=NOW)
    new = Limit("requests", 7, NOW + 9, NOW + 60, 20, asked_at=NOW + 8)
    assert after(Quota((new,)), (old,), NOW + 50) == Quota((new,))
    assert after(Quota((old,)), (new,), NOW + 50) == Quota((new,))
    other = Limit("tokens", 7, NOW, NOW + 60)
    assert set(after(Quota((new,)), (old, other), NOW + 50).limits) == {new, other}


@pytest.mark.parametrize(
    "first, second, left",
    [
        # (asked, answered, remaining, reset), seconds from NOW; the first one is known when the second one comes.
        ((0.0, 2.0, 5, 9.0), (1.0, 3.0, 4, 9.0), 4),  # counted in the order they were sent
        ((0.0, 2.0, 4, 9.0), (1.0, 3.0, 5, 9.0), 4),  # in the other order: both are in the lower rest
        (
            (1.0, 2.0, 5, 9.0),
            (0.0, 3.0, 4, 9.0),
            4,
        ),  # the earlier request is counted and answered last
        ((1.0, 2.0, 4, 9.0), (0.0, 3.0, 5, 9.0), 4),
        ((0.0, 2.0, 4, 9.0), (1.0, 3.0, 5, 9.8), 4),  # resets in whole seconds
        ((0.0, 2.0, 4, 9.0), (1.0, 3.0, 20, 19.0), 20),  # another window
        ((0.0, 2.0, 4, 2.5), (1.0, 3.0, 20, 3.4), 20),  # the window is over
        ((0.0, 2.0, 4, 9.0), (2.0, 3.0, 5, 9.0), 5),  # one after the other: something was given back
    ],
)
def test_requests_that_overlap(first: Any, second: Any, left: int) -> None:
    """The upstream may count them in another order than they were sent; the lower rest of one window counts both."""

    def limit(asked: float, answered: float, remaining: int, reset: float) -> Limit:
        return Limit("requests", remaining, NOW + answered, NOW + reset, 20, asked_at=NOW + asked)

    (found,) = after(Quota((limit(*first),)), (limit(*second),), NOW + second[1]).limits
    assert (found.remaining, found.counted_to) == (left, NOW + max(first[0], second[0]))
    assert found.reset_at <= NOW + max(first[3], second[3])


def test_a_limit_that_refills_is_what_the_latest_answer_says() -> None:
    ours = Limit("tokens", 4, NOW + 2, NOW + 9, 20, refills=True, asked_at=NOW)
    new = Limit("tokens", 5, NOW + 3, NOW + 9, 20, refills=True, asked_at=NOW + 1)
    assert after(Quota((ours,)), (new,), NOW + 3) == Quota((new,))


def test_a_clock_that_is_set_back() -> None:
    """What was learnt in the future is no reason to believe nothing any more."""
    future = Limit("requests", 0, NOW + 3600, NOW + 7200, 20)
    present = Limit("requests", 9, NOW, NOW + 60, 20)
    assert after(Quota((future,)), (present,), NOW) == Quota((present,))


def test_silence_forgets_what_is_over() -> None:
    """Some speak of a limit only when it is hit; after its reset nothing is known of it."""
    over, going_on = Limit("requests", 0, NOW - 60, NOW - 1, 20), Limit("requests-day", 0, NOW, NOW + 9, 50)
    assert without_past(Quota((over, going_on)), NOW) == Quota((going_on,))


limits = st.builds(
    Limit, st.sampled_from(["requests", "tokens", "requests-day"]), st.sampled_from([0.0, 5.0, 9.0]),
    st.sampled_from([NOW, NOW + 1]), st.sampled_from([NOW + 1, NOW + 60]), st.none() | st.sampled_from([0.0, 20.0]),
    st.booleans(), st.sampled_from([0.0, NOW - 1, NOW]), st.sampled_from([1.0, 60.0]),
)  # fmt: skip
quotas = st.lists(limits, max_size=3, unique_by=lambda limit: limit.unit).map(lambda found: Quota(tuple(found)))


@given(quotas, quotas, quotas)
def test_replicas_agree(one: Quota, two: Quota, three: Quota) -> None:
    """In whatever order they hear of each other; who knows nothing changes nothing."""
    assert merge(one, two) == merge(two, one)
    assert merge(merge(one, two), three) == merge(one, merge(two, three))
    assert set(merge(one, NOTHING_KNOWN).limits) == set(merge(NOTHING_KNOWN, one).limits) == set(one.limits)
