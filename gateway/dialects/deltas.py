"""The pivot: what a call asks for and what an answer says, in no dialect's words.

Every dialect has two codecs, one to here and one from here (`dialect.Codec`), so N dialects need 2N of them and no
pair of dialects needs any. A plain answer is the same deltas as a stream, all at once.

How the three large dialects say the pivot's words:

    pivot              chat                           messages (Anthropic)          responses
    ---------------    ---------------------------    --------------------------    -----------------------------
    Turn "system"      message of role system         `system`, role system         `instructions`, role system
    Turn "developer"   message of role developer      `system`                      role developer
    Turn "tool"        a message for each result      tool_result blocks that       a function_call_output item
                                                      begin a user message          for each result
    TextPart           content, text part             text block                    input_text, output_text
    ThinkingPart       reasoning_content,             thinking block with its       reasoning item: summary,
                       reasoning_details              signature; redacted_thinking  encrypted_content
    ToolUsePart        tool_calls                     tool_use block                function_call item
    Format             response_format                output_config.format          text.format
    effort             reasoning_effort               output_config.effort          reasoning.effort
    most_tokens        max_(completion_)tokens        max_tokens (required)         max_output_tokens
    Begun              the first chunk                message_start                 response.created
    Text, Thinking     delta.content, .reasoning…     text_delta, thinking_delta    …output_text.delta, …
    ToolBegun          a tool call's first delta      content_block_start           response.output_item.added
    ToolArgs           function.arguments             input_json_delta              …function_call_arguments.delta
    Finished           finish_reason                  message_delta.stop_reason     the status of response.completed
    Counted            the chunk with usage           message_start, message_delta  usage of response.completed
    Failed             an error object                event error                   event error, response.failed

Four rules. A word that the pivot does not have rides in `rest`, under the name and with the value that its dialect
gives it: a writer of the same dialect puts it back, any other names it as lost (`Written.lost`), save the few that it
reads itself (`cache_control`). A part that the pivot has no word for is an `OpaquePart`, of which the same holds.
`marks` are what a dialect notes beside its words, such as ids and states of items: a writer of the same dialect puts
them back, and in any other nothing is missing without them. And signatures and sealed thoughts are opaque: they go back
to where they came from, byte for byte, or the provider refuses the conversation.

Source: providers.md parts B and D; requests of Codex 0.169 and Claude Code 2.1, recorded in November 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.types import UpstreamError, Usage

Role = Literal["system", "developer", "user", "assistant", "tool"]
Reason = Literal["stop", "length", "tools", "filtered", "paused"]
"""Why a model ended: it was done (or met a stop sequence), had no room, calls tools, met a filter or refuses,
or pauses for tools of its provider and may be asked to go on."""


class TextPart(msgspec.Struct, frozen=True):
    """Words."""

    text: str
    rest: Mapping[str, Any] = {}  # msgspec makes a new one for each
    marks: Mapping[str, Any] = {}


class RefusalPart(msgspec.Struct, frozen=True):
    """Words by which the model declines."""

    text: str
    marks: Mapping[str, Any] = {}


class ImagePart(msgspec.Struct, frozen=True):
    """A picture."""

    url: str
    """`https:`, or `data:` with all of it."""
    detail: str | None = None
    rest: Mapping[str, Any] = {}


class AudioPart(msgspec.Struct, frozen=True):
    """Sound, in base64."""

    data: str
    format: str
    rest: Mapping[str, Any] = {}


class FilePart(msgspec.Struct, frozen=True):
    """A document: where it is (`https:`, `data:`), or what its provider calls it."""

    url: str = ""
    file_id: str = ""
    name: str = ""
    rest: Mapping[str, Any] = {}


class ThinkingPart(msgspec.Struct, frozen=True):
    """What a model thought before, which some providers want back unchanged."""

    text: str
    signature: str = ""
    """The provider's proof that the text is its own."""
    sealed: str = ""
    """The thought itself, to be read by the provider alone."""
    marks: Mapping[str, Any] = {}


class ToolUsePart(msgspec.Struct, frozen=True):
    """A model's call of a tool."""

    id: str
    name: str
    arguments: str
    """As the model wrote them: JSON, unless the tool takes free text or the model is small."""
    is_free: bool = False
    """The tool takes free text."""
    rest: Mapping[str, Any] = {}
    marks: Mapping[str, Any] = {}


class ToolResultPart(msgspec.Struct, frozen=True):
    """What a tool gave back."""

    id: str
    """Of the call."""
    parts: tuple[Part, ...]
    is_error: bool = False
    rest: Mapping[str, Any] = {}
    marks: Mapping[str, Any] = {}


class OpaquePart(msgspec.Struct, frozen=True):
    """A part, or a tool, of a kind that the pivot has no word for, as it stands in its dialect."""

    value: Any


Part = (
    TextPart | RefusalPart | ImagePart | AudioPart | FilePart | ThinkingPart | ToolUsePart | ToolResultPart | OpaquePart
)


class Turn(msgspec.Struct, frozen=True):
    """What one side says in one go. A turn of role `tool` holds results of tools and nothing else."""

    role: Role
    parts: tuple[Part, ...]
    rest: Mapping[str, Any] = {}
    marks: Mapping[str, Any] = {}


class Tool(msgspec.Struct, frozen=True):
    """A function that the client carries out."""

    name: str
    description: str | None = None
    schema: Any = None
    """JSON Schema of its arguments; None: it takes none."""
    strict: bool | None = None
    rest: Mapping[str, Any] = {}
    marks: Mapping[str, Any] = {}


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether tools may or must be called: as the model likes, none, any one of them, or the named one."""

    mode: Literal["auto", "none", "any", "one"]
    name: str = ""


class Format(msgspec.Struct, frozen=True):
    """The answer is JSON: any object, or by a schema."""

    schema: Any = None
    name: str = ""
    strict: bool | None = None
    rest: Mapping[str, Any] = {}


class Ask(msgspec.Struct, frozen=True):
    """What a call asks for, all but the model."""

    dialect: str
    """The one it was asked in, whose words `rest` and opaque parts are."""
    turns: tuple[Turn, ...]
    tools: tuple[Tool | OpaquePart, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    """Several tools may be called at once."""
    most_tokens: int | None = None
    """Of the answer, thinking included."""
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    format: Format | None = None
    effort: str | None = None
    """How hard to think: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`."""
    user: str | None = None
    answers: int = 1
    stream: bool = False
    rest: Mapping[str, Any] = {}
    marks: Mapping[str, Any] = {}


class Written(msgspec.Struct, frozen=True):
    """A request in another dialect."""

    body: bytes
    lost: tuple[str, ...] = ()
    """What could not be said in it, by the names of the dialect that it was asked in, each once."""


class Begun(msgspec.Struct, frozen=True, gc=False):
    """The answer begins. It comes first, if its provider says so much."""

    model: str = ""
    created: int | None = None
    """Wall-clock seconds."""


class Text(msgspec.Struct, frozen=True, gc=False):
    """Some more words."""

    text: str
    choice: int = 0
    """Of several answers to one call, which one."""
    is_refusal: bool = False


class Thinking(msgspec.Struct, frozen=True, gc=False):
    """Some more of a thought. A signature or a sealed thought ends it: what follows is another one."""

    text: str
    choice: int = 0
    signature: str = ""
    sealed: str = ""


class ToolBegun(msgspec.Struct, frozen=True, gc=False):
    """A call of a tool begins."""

    index: int
    """Among the calls of its choice, from 0."""
    id: str
    name: str
    choice: int = 0
    is_free: bool = False


class ToolArgs(msgspec.Struct, frozen=True, gc=False):
    """Some more of a call's arguments. A call without any has `{}`."""

    index: int
    text: str
    choice: int = 0


class Aside(msgspec.Struct, frozen=True):
    """Something in an answer that the pivot has no word for. Only an encoder of the same dialect says it."""

    dialect: str
    name: str
    """Where it stands: `delta.audio`, `logprobs`."""
    value: Any
    choice: int = 0


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A choice is complete."""

    reason: Reason
    choice: int = 0
    said: str = ""
    """In the dialect's own word, where that says more: `stop_sequence`, `function_call`."""


class Counted(msgspec.Struct, frozen=True, gc=False):
    """What it took, as far as it is known. Of several `usage.merged` says what they come to."""

    usage: Usage


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The upstream says that it failed. Nothing follows."""

    error: UpstreamError


Delta = Begun | Text | Thinking | ToolBegun | ToolArgs | Aside | Finished | Counted | Failed
