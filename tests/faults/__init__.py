"""A hostile network on loopback: an upstream that fails as it is told, a client that does, and a strict loop."""

from tests.faults.client import Chunk, Client, Hangup, Malformed, Response, chat, request
from tests.faults.incoming import Violation
from tests.faults.loop import LeftBehind, run
from tests.faults.ports import blackhole_port, free_port, refuse_port
from tests.faults.recipes import (
    DONE,
    ROLE,
    chat_json,
    chat_stream,
    comment,
    delta,
    error_event,
    error_json,
    event,
    finish,
    interim,
    json_answer,
    like_openai,
    messages_json,
    messages_stream,
    padding,
    recorded,
    stream_head,
    usage_event,
)
from tests.faults.script import (
    Body,
    CutAt,
    Deaf,
    End,
    Fin,
    HalfClose,
    Head,
    NextByte,
    Pace,
    Pause,
    Pieces,
    Reset,
    Script,
    Send,
    Stall,
    Step,
    cut,
)
from tests.faults.upstream import Answer, Connection, FaultyUpstream, Request

__all__ = [
    "DONE", "ROLE", "Answer", "Body", "Chunk", "Client", "Connection", "CutAt", "Deaf", "End", "FaultyUpstream", "Fin",
    "HalfClose", "Hangup", "Head", "LeftBehind", "Malformed", "NextByte", "Pace", "Pause", "Pieces", "Request", "Reset",
    "Response", "Script", "Send", "Stall", "Step", "Violation", "blackhole_port", "chat", "chat_json", "chat_stream",
    "comment", "cut", "delta", "error_event", "error_json", "event", "finish", "free_port", "interim", "json_answer",
    "like_openai", "messages_json", "messages_stream", "padding", "recorded", "refuse_port", "request", "run",
    "stream_head", "usage_event",
]  # fmt: skip
