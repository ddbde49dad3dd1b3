"""What is tested: each client, how it speaks, what it does, and which dialects the upstream behind the gateway has."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tests.clients.installing import HERE, node, python

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CAPABILITIES = ("plain", "stream", "usage", "tools", "structured", "images", "errors", "embeddings", "models")
COMMON = CAPABILITIES[:7]


@dataclass(frozen=True, slots=True)
class Surface:
    """One of the ways in which a client speaks."""

    name: str
    """The dialect."""
    capabilities: tuple[str, ...] = COMMON
    """What is tested of it."""

    @property
    def upstreams(self) -> tuple[str, ...]:
        """The dialects of the upstreams: its own, and what most of the world speaks."""
        return tuple(dict.fromkeys((self.name, "chat")))


@dataclass(frozen=True, slots=True)
class Client:
    """A library, and the program that uses it."""

    name: str
    title: str
    package: str
    """What is installed from the registry."""
    program: str
    """The file, below this directory."""
    surfaces: tuple[Surface, ...]
    environment: str = "recent"
    """The environment of a program in Python."""

    @property
    def command(self) -> list[str]:
        """How the program is started."""
        is_node = self.program.endswith(".mjs")
        return [node() if is_node else python(self.environment), str(HERE / self.program)]

    @property
    def version(self) -> str:
        """The version that the lock file pins."""
        if self.program.endswith(".mjs"):
            return version_of_npm(self.package)
        lock = (HERE / "environments" / f"{self.environment}.lock").read_text()
        found = re.search(rf"^{re.escape(self.package)}==(\S+)", lock, re.MULTILINE)
        assert found, f"{self.package} is not in {self.environment}.lock"
        return found[1]


class Case(NamedTuple):
    """One capability of a client, with one upstream."""

    client: Client
    surface: Surface
    upstream: str
    capability: str

    @property
    def run(self) -> str:
        """The run of the program that the case is part of."""
        return f"{self.surface.name}@on-{self.upstream}"

    def __str__(self) -> str:
        return f"{self.client.name}-{self.surface.name}-on-{self.upstream}-{self.capability}"


CHAT = Surface("chat")
CHAT_AND_VECTORS = Surface("chat", (*COMMON, "embeddings"))
RESPONSES = Surface("responses")
MESSAGES = Surface("messages")

CLIENTS = (
    Client(
        "openai", "OpenAI SDK, Python", "openai", "programs/openai_sdk.py",
        (Surface("chat", CAPABILITIES), RESPONSES),
    ),
    Client("openai-node", "OpenAI SDK, Node", "openai", "node/openai.mjs", (Surface("chat", CAPABILITIES), RESPONSES)),
    Client(
        "anthropic", "Anthropic SDK, Python", "anthropic", "programs/anthropic_sdk.py",
        (Surface("messages", (*COMMON, "models")),),
    ),
    Client(
        "anthropic-node", "Anthropic SDK, Node", "@anthropic-ai/sdk", "node/anthropic.mjs",
        (Surface("messages", (*COMMON, "models")),),
    ),
    Client("vercel-ai", "Vercel AI SDK", "ai", "node/vercel_ai.mjs", (CHAT_AND_VECTORS, RESPONSES, MESSAGES)),
    Client(
        "langchain", "LangChain", "langchain", "programs/langchain_chat.py", (CHAT_AND_VECTORS, RESPONSES, MESSAGES)
    ),
    Client(
        "llama-index", "LlamaIndex, OpenAILike", "llama-index-llms-openai-like", "programs/llama_index_like.py",
        (CHAT_AND_VECTORS,), "older",
    ),
    Client(
        "instructor", "instructor", "instructor", "programs/instructor_modes.py",
        (Surface("chat", ("stream", "usage", "structured", "errors")), Surface("responses", ("structured",))), "older",
    ),
    Client(
        "pydantic-ai", "pydantic-ai", "pydantic-ai-slim", "programs/pydantic_agents.py", (CHAT, RESPONSES, MESSAGES)
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Agent:
    """A program that works with a shell. It streams, calls its tool, and reads the result."""

    name: str
    title: str
    package: str
    dialect: str
    path: str

    @property
    def upstreams(self) -> tuple[str, ...]:
        """As those of a surface."""
        return Surface(self.dialect).upstreams

    def __str__(self) -> str:
        return self.name


OPENCODE = Agent("opencode", "opencode", "opencode-ai", "chat", "/v1/chat/completions")
CODEX = Agent("codex", "Codex", "@openai/codex", "responses", "/v1/responses")
CLAUDE_CODE = Agent("claude-code", "Claude Code", "@anthropic-ai/claude-code", "messages", "/v1/messages?beta=true")
AGENTS = (OPENCODE, CODEX, CLAUDE_CODE)


REFUSED: Mapping[tuple[str, str, str, str], str] = {}
"""What does not work, by client, surface, upstream and capability, and why. A test fails when it does work."""


def version_of_npm(package: str) -> str:
    """Return the version of a package that package-lock.json pins."""
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    version = packages[f"node_modules/{package}"]["version"]
    assert isinstance(version, str)
    return version


def cases_of(client: Client) -> Iterator[Case]:
    """Yield every case of a client."""
    for surface in client.surfaces:
        for upstream in surface.upstreams:
            for capability in surface.capabilities:
                yield Case(client, surface, upstream, capability)
