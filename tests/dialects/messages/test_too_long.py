"""A prompt that is too long is refused in the words by which Claude Code shortens it, whoever says so."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.messages import error_body
from gateway.dialects.messages.too_long import as_too_long, with_words
from gateway.errors import NoCandidate
from tests.faults.recipes import FIXTURES


@pytest.mark.parametrize(
    ("message", "prompt", "most"),
    [
        ("This model's maximum context length is 128000 tokens. However, your messages resulted in 130015 tokens.",
         130015, 128000),
        (("This endpoint's maximum context length is 131072 tokens. However, you requested about 138956 tokens "
         "(7884 of text input, 131072 in the output)."), 138956, 131072),
        ("This model's maximum context length is 4,096 tokens. However, your request has 9,000 input tokens.",
         9000, 4096),
        (("You passed 5000 input tokens and requested 512 output tokens. However, the model's context length is only "
         "4096 tokens, resulting in a maximum input length of 3584 tokens."), 5000, 4096),
        ("request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it", 9000, 4096),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", 1200000, 1048576),
        ("Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
         40000, 32768),
        ("This model's maximum prompt length is 131072 but the request contains 140000 tokens.", 140000, 131072),
        ("Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)", 9000, 8192),
        (("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and "
         "512 `max_new_tokens`"), 9000, 8193),
        (("Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context "
         "length of only 4096 tokens"), 9000, 4096),
        (("This model's maximum context length is 2048 tokens, and the prompt of this call is longer; shorten it "
         '(local/qwen-20260101: its context of 2048 tokens is too short for about 32019)'), 32019, 2048),
    ],
)  # fmt: skip
def test_both_numbers_are_found(message: str, prompt: int, most: int) -> None:
    assert as_too_long(message) == f"prompt is too long: {prompt} tokens > {most} maximum"


@pytest.mark.parametrize(
    "message",
    [
        "Please reduce the length of the messages or completion.",
        "This model's maximum context length is 4096 tokens, and the prompt of this call is longer (a/qwen-9999.1)",
        "The input token count exceeds the maximum number of tokens allowed 1048576.",
        "Input is too long for requested model.",
    ],
)
def test_other_words_follow_the_beginning(message: str) -> None:
    """A number that is missing is not made up."""
    assert as_too_long(message) == f"prompt is too long: {message}"


@pytest.mark.parametrize(
    "message",
    [
        "prompt is too long: 250000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length",
    ],
)
def test_anthropics_own_words_stay(message: str) -> None:
    """And its body stays byte for byte."""
    body = b'{"type": "error", "error": {"type": "invalid_request_error", "message": "%b"}, "request_id": "r"}'
    assert as_too_long(message) == message
    assert with_words(body % message.encode()) == body % message.encode()


def test_a_refusal_of_a_prompt() -> None:
    """The code decides, and the status the type."""
    refusal = NoCandidate("its maximum context length is 10 tokens", status=400, code="context_length_exceeded")
    assert json.loads(error_body(refusal)) == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "prompt is too long: its maximum context length is 10 tokens",
        },
    }


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ((FIXTURES / "llamacpp_400_ctx.body").read_bytes(),
         {"code": 400, "n_prompt_tokens": 9000, "n_ctx": 4096,
          "message": "prompt is too long: 9000 tokens > 4096 maximum"}),
        (b'{"error":"Prompt too long"}', {"message": "prompt is too long: Prompt too long"}),
        (b'{"message":"too many tokens"}', {"message": "prompt is too long: too many tokens"}),
        (b'{"error":{}}', {"message": "prompt is too long"}),
        (b'{"error":{"message":5,"n_prompt_tokens":"9","n_ctx":true}}',
         {"message": "prompt is too long", "n_prompt_tokens": "9", "n_ctx": True}),
    ],
)  # fmt: skip
def test_a_servers_refusal_in_other_words(body: bytes, error: dict[str, object]) -> None:
    """It is in Anthropic's shape then, whatever shape it had."""
    said = json.loads(with_words(body))
    assert (said["type"], said["error"]) == ("error", error | {"type": "invalid_request_error"})


@pytest.mark.parametrize("body", [b"", b"too long", b"[1]", b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_object_stays(body: bytes) -> None:
    assert with_words(body) == body
