"""OpenAI's chat completions: messages in, choices out. Most of the world speaks it."""

from __future__ import annotations

from gateway.dialects import choices, openai
from gateway.dialects.chat import answering, asking
from gateway.dialects.dialect import Codec, Dialect, Words
from gateway.dialects.events import Grammar
from gateway.types import Capability, Endpoint

CHAT = Endpoint("chat", "/chat/completions", "chat", usage_on_request=True, generates=True)

GRAMMAR = Grammar(note=choices.note_event, plain=choices.plain_event, choices=choices.asked_for)

DIALECT = Dialect(
    name="chat",
    endpoints=(CHAT,),
    words=Words(
        spoken=("messages",),
        system="messages",
        system_within=True,
        limits=("max_completion_tokens", "max_tokens", "max_output_tokens"),
        tools=("tools", "functions"),
        schema="response_format",
        answers=("n", "best_of"),
        usage=openai.USAGE,
        media={
            b'"image_url"': Capability.VISION,
            b'"image"': Capability.VISION,  # Anthropic's and MCP's, which some providers take here
            b'"image_file"': Capability.VISION,
            b'"input_audio"': Capability.AUDIO,
            b'"audio_url"': Capability.AUDIO,  # vLLM
            b'"file"': None,  # providers turn most files into text
            b'"document"': None,  # Anthropic's
            b'"document_url"': None,  # Mistral
            b'"video_url"': None,
        },
    ),
    grammar=GRAMMAR,
    answer=choices.read_answer,
    refusal=openai.error_body,
    broken=openai.error_event,
    too_long=openai.with_code,
    headers=openai.HEADERS,
    codec=Codec(CHAT, asking.parse, asking.write, answering.ChatDecoder, answering.ChatEncoder),
)
