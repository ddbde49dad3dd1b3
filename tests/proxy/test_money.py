"""What costs money is charged in its unit, by whatever words the provider counts it; what did not happen is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.types import CostSource, Usage
from tests.faults import (
    DONE,
    ROLE,
    Body,
    End,
    Fin,
    Head,
    chat,
    chat_json,
    delta,
    finish,
    json_answer,
    request,
    stream_head,
)
from tests.faults.recipes import USAGE, event
from tests.proxy.ledgered import FREE, INPUT_PRICE, ONE_CALL, OUTPUT_PRICE, PAID, error_of, ledgered
from tests.proxy.scene import ROLE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Answer

FORM = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nrole:rlm\r\n--x--\r\n'
TRANSCRIPTION = request(
    "POST", "/v1/audio/transcriptions", headers={"content-type": "multipart/form-data; boundary=x"}, body=FORM
)
TRANSLATION = request(
    "POST", "/v1/audio/translations", headers={"content-type": "multipart/form-data; boundary=x"}, body=FORM
)
PICTURES = request("POST", "/v1/images/generations", {"model": ROLE_NAME, "prompt": "a cat", "n": 2})
SPEECH = request("POST", "/v1/audio/speech", {"model": ROLE_NAME, "voice": "alloy", "input": "Grüße, Welt 😀"})
WHISPER = "price: {minute: 0.006}"
TTS = "price: {million_characters: 15}"
TRANSCRIBER = "price: {input: 2.5, output: 10, audio_input: 6}"
TOKENS = {"type": "tokens", "input_tokens": 100_000, "output_tokens": 45, "total_tokens": 100_045,
          "input_token_details": {"text_tokens": 0, "audio_tokens": 100_000}}  # fmt: skip


def plain(body: bytes, kind: str) -> Answer:
    return (Head(headers={"content-type": kind}, framing=len(body)), Body(body), End())


def completion(usage: object, **more: object) -> Answer:
    choices = [{"message": {"content": "seven words of text that are ten tokens."}, "finish_reason": "stop"}]
    return json_answer({"choices": choices, "usage": usage, **more})


# -- free is what costs nothing in any unit


@pytest.mark.parametrize(
    ("price", "sent", "answer", "cost"),
    [
        ("request: 0.002", chat(model=ROLE_NAME), chat_json(), 2_000_000),
        ("image: 0.04", PICTURES, json_answer({"data": [{"url": "x"}, {"url": "y"}]}), 80_000_000),
        ("audio_input: 6", TRANSCRIPTION, json_answer({"text": "hi", "usage": TOKENS}), 600_000_000),
        ("minute: 0.006", TRANSCRIPTION, json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 27}}),
         2_700_000),
        ("character: 0.000015", SPEECH, plain(b"RIFF", "audio/wav"), 13 * 15_000),
    ],
)  # fmt: skip
async def test_what_is_priced_by_another_unit_is_not_free(
    tmp_path: Path, price: str, sent: bytes, answer: Answer, cost: int
) -> None:
    """It is charged, its budget is spent by it, and it comes after what is free."""
    kinds = [f"price: {{input: 0, output: 0, {price}}}"]
    extra = f"budgets: [{{scope: total, limit_usd: {cost / 1e9:.9f}}}]"
    async with ledgered(tmp_path, answer, kinds=kinds, extra=extra) as scene:
        response = await scene.ask(sent)
        refused = await scene.ask(sent)
        row = await scene.row()
    assert (response.status, refused.status, error_of(refused)["code"]) == (200, 429, "insufficient_quota")
    assert (row.cost_nanousd, row.cost_source) == (cost, CostSource.COMPUTED)


async def test_free_first_passes_over_what_is_priced_by_the_call(tmp_path: Path) -> None:
    kinds = ["price: {input: 0, output: 0, request: 0.002}", FREE]
    async with ledgered(tmp_path, chat_json(), chat_json(), kinds=kinds, order="[free]") as scene:
        chosen = [
            (await scene.ask(chat(model=name))).headers["x-gateway-provider"] for name in (ROLE_NAME, "auto:free")
        ]
    assert chosen == ["second", "second"]


# -- sound


@pytest.mark.parametrize("sent", [TRANSCRIPTION, TRANSLATION])
@pytest.mark.parametrize(
    ("price", "answer", "usage", "cost"),
    [
        (TRANSCRIBER, json_answer({"text": "hi", "usage": TOKENS}), Usage(100_000, 45, audio_input_tokens=100_000),
         600_450_000),
        (WHISPER, json_answer({"text": "hi", "usage": {"type": "duration", "seconds": 27}}), Usage(audio_ms=27_000),
         2_700_000),
        (WHISPER, json_answer({"task": "transcribe", "duration": 8.47, "text": "hi"}), Usage(audio_ms=8470), 847_000),
        (WHISPER, json_answer({"text": "hi", "usage": {"prompt_audio_seconds": 3, "prompt_tokens": 4,
                                                       "completion_tokens": 2, "total_tokens": 6}}),
         Usage(4, 2, audio_ms=3000), 300_000),
        ("price: {hour: 0.111, minimum_seconds: 10}", json_answer({"text": "hi", "duration": 2}), Usage(audio_ms=2000),
         308_333),
    ],
)  # fmt: skip
async def test_a_transcription(
    tmp_path: Path, sent: bytes, price: str, answer: Answer, usage: Usage, cost: int
) -> None:
    """By its tokens or its length, whichever has a price; the client is told."""
    async with ledgered(tmp_path, answer, kinds=[price]) as scene:
        response = await scene.ask(sent)
        row = await scene.row()
    assert (row.usage, row.usage_is_estimate) == (usage, False)
    assert (row.cost_nanousd, row.cost_source) == (cost, CostSource.COMPUTED)
    assert float(response.headers["x-gateway-cost-usd"]) == cost / 1e9


@pytest.mark.parametrize(
    ("answer", "ms"),
    [
        (plain(b"1\n00:00:00,000 --> 00:00:27,480\nHello\n", "application/x-subrip"), 27_480),
        (plain(b"WEBVTT\n\n00:00.000 --> 01:27.480\nHello\n", "text/vtt"), 87_480),
        (plain(b"x" * 450, "text/plain; charset=utf-8"), 30_000),
    ],
)
async def test_a_transcription_that_says_nothing_of_its_length(tmp_path: Path, answer: Answer, ms: int) -> None:
    """Is estimated by what was understood, so that a budget counts it."""
    async with ledgered(tmp_path, answer, kinds=[WHISPER]) as scene:
        await scene.ask(TRANSCRIPTION)
        row = await scene.row()
    assert (row.usage, row.usage_is_estimate) == (Usage(audio_ms=ms), True)
    assert (row.cost_nanousd, row.cost_source) == (ms * 100, CostSource.ESTIMATED)


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [(WHISPER, {"type": "duration", "seconds": 27}, 2_700_000), (TRANSCRIBER, TOKENS, 600_450_000)],
)
async def test_a_transcription_that_streams(tmp_path: Path, price: str, usage: object, cost: int) -> None:
    """Says how much it was in its last event."""
    deltas = [Body(event({"type": "transcript.text.delta", "delta": "hi"})) for _ in range(3)]
    done = Body(event({"type": "transcript.text.done", "text": "hi", "usage": usage}))
    async with ledgered(tmp_path, (stream_head(), *deltas, done, End()), kinds=[price]) as scene:
        await scene.ask(TRANSCRIPTION)
        row = await scene.row()
    assert (row.outcome, row.cost_nanousd, row.cost_source) == ("ok", cost, CostSource.COMPUTED)


@pytest.mark.parametrize(
    ("details", "cost"),
    [
        ({}, 34_162_000),
        ({"output_tokens_details": {"text_tokens": 56, "image_tokens": 1000}}, 32_370_000 + 560_000),
    ],
)
async def test_pictures_without_a_word_on_their_tokens(tmp_path: Path, details: dict[str, object], cost: int) -> None:
    """All of the output is pictures, unless something else is said: gpt-image-1.5 at $5, $8, $10 and $32."""
    usage = {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106,
             "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}, **details}  # fmt: skip
    price = "price: {input: 5, image_input: 8, output: 10, image_output: 32}"
    async with ledgered(
        tmp_path, json_answer({"data": [{"b64_json": "AAAA"}], "usage": usage}), kinds=[price]
    ) as scene:
        await scene.ask(PICTURES)
        row = await scene.row()
    assert (row.cost_nanousd, row.cost_source) == (cost, CostSource.COMPUTED)


@pytest.mark.parametrize("price", [PAID, WHISPER])
@pytest.mark.parametrize("answer", [plain(b"", "text/plain"), json_answer({"text": ""})])
async def test_silence_costs_nobody_knows_what(tmp_path: Path, price: str, answer: Answer) -> None:
    async with ledgered(tmp_path, answer, kinds=[price]) as scene:
        await scene.ask(TRANSCRIPTION)
        row = await scene.row()
    assert (row.cost_nanousd, row.cost_source) == (None, CostSource.UNKNOWN)


async def test_speech_is_charged_by_the_character(tmp_path: Path) -> None:
    """Decoded, and whatever the answer says; a budget counts it."""
    extra = "budgets: [{scope: total, limit_usd: 0.000195}]"
    async with ledgered(tmp_path, plain(b"RIFF", "audio/wav"), kinds=[TTS], extra=extra) as scene:
        assert [(await scene.ask(SPEECH)).status for _ in range(2)] == [200, 429]
        row = await scene.row()
    assert (row.usage, row.usage_is_estimate, row.cost_nanousd) == (Usage(characters=13), False, 195_000)


# -- counts


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 7.0, "completion_tokens": 2.0, "total_tokens": 9.0},
        {"prompt_tokens": "7", "completion_tokens": "2"},
        {"prompt_tokens": 6.2, "completion_tokens": 1.5, "total_tokens": 7.7},
    ],
)
async def test_fractions_and_digits_are_counts(tmp_path: Path, usage: dict[str, object], stream: bool) -> None:
    """Rounded up, exact, and never nothing."""
    answer = (
        (stream_head(), ROLE, delta("Hi"), finish(), Body(event({"choices": [], "usage": usage})), DONE, End())
        if stream
        else completion(usage)
    )
    async with ledgered(tmp_path, answer) as scene:
        await scene.ask(chat(model=ROLE_NAME, stream=stream))
        row = await scene.row()
    assert (row.usage, row.usage_is_estimate) == (Usage(7, 2), False)
    assert (row.cost_nanousd, row.cost_source) == (ONE_CALL, CostSource.COMPUTED)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": -5},
        {"prompt_tokens": None, "completion_tokens": None},
        "none",
    ],
)
async def test_a_plain_answer_that_counts_nothing_is_estimated(tmp_path: Path, usage: object) -> None:
    """By its prompt and by its text: ten tokens or so."""
    async with ledgered(tmp_path, completion(usage)) as scene:
        await scene.ask()
        row = await scene.row()
    assert row.usage_is_estimate
    assert row.usage.input_tokens > 0
    assert 8 <= row.usage.output_tokens <= 12
    assert row.cost_nanousd == row.usage.input_tokens * INPUT_PRICE + row.usage.output_tokens * OUTPUT_PRICE
    assert row.cost_source is CostSource.ESTIMATED


@pytest.mark.parametrize(
    ("usage", "more", "cost"),
    [
        ({**USAGE, "estimated_cost": 8.775e-06}, {"service_tier": "priority"}, 8775),
        ({**USAGE, "cost_usd_total": 0.000125}, {}, 125_000),
        (USAGE, {"x_nanogpt_pricing": {"cost": 0.0034, "currency": "USD"}}, 3_400_000),
        (USAGE, {"meta": {"usage": {"usd_spent": 0.001695}}}, 1_695_000),
    ],
)
@pytest.mark.parametrize("kind", [PAID, ""])
async def test_who_is_paid_knows_best(
    tmp_path: Path, kind: str, usage: object, more: dict[str, object], cost: int
) -> None:
    """Whatever the word for it is, and also where nobody else knows a price."""
    async with ledgered(tmp_path, completion(usage, **more), kinds=[kind]) as scene:
        await scene.ask()
        row = await scene.row()
    assert (row.cost_nanousd, row.cost_source) == (cost, CostSource.PROVIDER)


# -- what did not happen


async def test_a_kept_connection_that_was_closed_costs_nothing(tmp_path: Path) -> None:
    """The prompt was written to it, and nobody read it."""
    prompt = "word " * 4000
    sent = chat(prompt, model=ROLE_NAME)
    async with ledgered(tmp_path, chat_json()) as scene:
        scene.upstreams[0].script(chat_json(), (Fin(),), chat_json())
        assert [(await scene.ask(sent)).status for _ in range(2)] == [200, 200]
        rows = await scene.rows()
    assert [(row.outcome, row.cost_nanousd) for row in rows] == [("ok", ONE_CALL), ("stale", 0), ("ok", ONE_CALL)]


@pytest.mark.parametrize(
    "body",
    [
        {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}},
        {"error": {"message": "overloaded", "code": 503}},
        {"error": {"message": "Internal", "code": 500}},
        {"error": {"code": "insufficient_quota", "message": "no"}},
    ],
)
async def test_an_error_inside_a_200_costs_nothing(tmp_path: Path, body: dict[str, object]) -> None:
    """It is a refusal like one with a status."""
    async with ledgered(tmp_path, json_answer(body), chat_json()) as scene:
        assert (await scene.ask()).status == 200
        first, second = await scene.rows()
    assert (first.cost_nanousd, first.usage) == (0, Usage())
    assert second.cost_nanousd == ONE_CALL


# -- by the hour, by the length


async def test_a_long_prompt_has_a_price_of_its_own(tmp_path: Path) -> None:
    price = "price: {input: 2, output: 10, tiers: [{above: 5, input: 4, output: 20}]}"
    async with ledgered(tmp_path, chat_json(), kinds=[price]) as scene:
        await scene.ask()
        row = await scene.row()
    assert row.cost_nanousd == 2 * ONE_CALL


async def test_a_price_of_all_day_that_is_written_as_hours(tmp_path: Path) -> None:
    price = "price: {input: 1, output: 1, hours: [{between: '00:00-24:00', input: 2, output: 10}]}"
    async with ledgered(tmp_path, chat_json(), kinds=[price]) as scene:
        await scene.ask()
        row = await scene.row()
    assert (row.cost_nanousd, row.price_source) == (ONE_CALL, "config")
