"""OpenAI's Responses API: items in, items out, and events named after what happens to each."""

from __future__ import annotations

from gateway.dialects import openai
from gateway.dialects.dialect import Codec, Dialect, Words
from gateway.dialects.responses import asking, reading, writing
from gateway.dialects.responses.decoding import ResponsesDecoder
from gateway.dialects.responses.encoding import ResponsesEncoder
from gateway.types import Capability, Endpoint

# A response is stored at the provider unless the call says otherwise, so a second one is a second object there.
RESPONSES = Endpoint("responses", "/responses", "responses", generates=True, repeatable=False, stateful=True)
COMPACT = Endpoint(
    "responses_compact", "/responses/compact", "responses", generates=True, repeatable=False, stateful=True
)
INPUT_TOKENS = Endpoint("responses_input_tokens", "/responses/input_tokens", "responses", charged=False, stateful=True)

DIALECT = Dialect(
    name="responses",
    endpoints=(RESPONSES, COMPACT, INPUT_TOKENS),
    words=Words(
        spoken=("input", "prompt"),  # the variables of a template stand in `prompt`
        system="instructions",
        limits=("max_output_tokens",),
        tools=("tools",),
        schema="text",
        schema_within=True,
        media={
            b'"input_image"': Capability.VISION,
            b'"computer_screenshot"': Capability.VISION,
            b'"input_audio"': Capability.AUDIO,
            b'"input_file"': None,
            b'"input_video"': None,
            b'"image_generation_call"': None,  # a picture that was made before, in base64
        },
    ),
    grammar=reading.GRAMMAR,
    answer=reading.read_answer,
    refusal=openai.error_body,
    broken=reading.broken,
    too_long=openai.with_code,
    counted=lambda tokens: b'{"object":"response.input_tokens","input_tokens":%d}' % tokens,
    headers=openai.HEADERS,
    codec=Codec(RESPONSES, asking.parse, writing.write, ResponsesDecoder, ResponsesEncoder),
)
