"""What each client needs to use the gateway: the lines to paste, a row each.

Rule: every text is built from values with the quoting of its own language, so no name or key can break out of it.
The pages were read in November 2026.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY_VARIABLE = "GATEWAY_API_KEY"
NO_KEY = "sk-local"
"""For a gateway without keys: most clients do not start without one."""
UNKNOWN_CONTEXT = 200_000


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway as a client is to see it."""

    root: str
    """The URL without `/v1`."""
    model: str
    small: str
    """A model for titles and summaries."""
    key: str | None = None
    """None: the key is in the variable GATEWAY_API_KEY."""
    context_tokens: int = UNKNOWN_CONTEXT

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    @property
    def shell_key(self) -> str:
        """The key as a word of a shell."""
        return f'"${KEY_VARIABLE}"' if self.key is None else quote(self.key)

    def reference(self, form: str) -> str:
        """Return the key, or a reference to its variable in the client's own form (`{env:%s}`)."""
        return form % KEY_VARIABLE if self.key is None else self.key


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines for one place."""

    place: str
    """A file, or what the lines are for."""
    language: str
    """sh, python, toml, yaml or json."""
    text: str


@dataclass(frozen=True, slots=True)
class Client:
    """A program that can use the gateway."""

    title: str
    page: str
    """The page that describes its settings."""
    write: Callable[[Target], tuple[Snippet, ...]]
    about: str = ""


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _text(value: str) -> str:
    """Quote a string for Python, TOML or YAML: JSON's form is valid in all three."""
    return json.dumps(value, ensure_ascii=False)


def _exports(**variables: str) -> str:
    """`variables`: values that are shell words already."""
    return "\n".join(f"export {name}={value}" for name, value in variables.items())


def _python(to: Target, imports: str, *lines: str) -> Snippet:
    head = f"import os\n\n{imports}" if to.key is None else imports
    return Snippet("a Python program", "python", "\n".join((head, "", *lines)))


def _arguments(to: Target, url: str) -> str:
    """Return the arguments of a Python class. `url`: how it calls the base URL."""
    key = f'os.environ["{KEY_VARIABLE}"]' if to.key is None else _text(to.key)
    return f"model={_text(to.model)}, {url}={_text(to.url)}, api_key={key}"


def _openai(to: Target) -> tuple[Snippet, ...]:
    call = f"chat.completions.create(model={_text(to.model)}, messages=messages)"
    return (
        Snippet("the shell", "sh", _exports(OPENAI_BASE_URL=quote(to.url), OPENAI_API_KEY=to.shell_key)),
        _program("from openai import OpenAI", call, "choices[0].message.content"),
    )


def _anthropic(to: Target) -> tuple[Snippet, ...]:
    call = f"messages.create(model={_text(to.model)}, max_tokens=1024, messages=messages)"
    return (
        Snippet("the shell", "sh", _exports(ANTHROPIC_BASE_URL=quote(to.root), ANTHROPIC_API_KEY=to.shell_key)),
        _program("from anthropic import Anthropic", call, "content[0].text"),
    )


def _program(imported: str, call: str, text: str) -> Snippet:
    """Return a program that uses an SDK. `imported`: the line that imports its client. `text`: of the answer."""
    lines = (
        imported,
        "",
        f"client = {imported.rpartition(' ')[2]}()  # reads both variables",
        'messages = [{"role": "user", "content": "Hello!"}]',
        f"answer = client.{call}",
        f"print(answer.{text})",
    )
    return Snippet("a Python program", "python", "\n".join(lines))


def _langchain(to: Target) -> tuple[Snippet, ...]:
    lines = (
        f"llm = ChatOpenAI({_arguments(to, 'base_url')}, stream_usage=True)",
        'print(llm.invoke("Hello!").content)',
    )
    return (_python(to, "from langchain_openai import ChatOpenAI", *lines),)


def _llamaindex(to: Target) -> tuple[Snippet, ...]:
    lines = (
        "llm = OpenAILike(",
        f"    {_arguments(to, 'api_base')},",
        f"    context_window={to.context_tokens}, is_chat_model=True, is_function_calling_model=True,",
        ")",
        'print(llm.complete("Hello!"))',
    )
    return (_python(to, "from llama_index.llms.openai_like import OpenAILike", *lines),)


def _codex(to: Target) -> tuple[Snippet, ...]:
    lines = [
        f"model = {_text(to.model)}",
        'model_provider = "gateway"',
        f"model_context_window = {to.context_tokens}",
        "",
        "[model_providers.gateway]",
        'name = "Gateway"',
        f"base_url = {_text(to.url)}",
        'wire_api = "responses"',
    ]
    if to.key is None:
        lines.append(f'env_key = "{KEY_VARIABLE}"')
    elif to.key != NO_KEY:
        lines.append(f"experimental_bearer_token = {_text(to.key)}")
    return Snippet("~/.codex/config.toml", "toml", "\n".join(lines)), Snippet("the shell", "sh", "codex")


def _claude_code(to: Target) -> tuple[Snippet, ...]:
    model, small = quote(to.model), quote(to.small)
    lines = _exports(
        ANTHROPIC_BASE_URL=quote(to.root),
        ANTHROPIC_AUTH_TOKEN=to.shell_key,
        ANTHROPIC_MODEL=model,
        ANTHROPIC_DEFAULT_OPUS_MODEL=model,
        ANTHROPIC_DEFAULT_SONNET_MODEL=model,
        ANTHROPIC_DEFAULT_HAIKU_MODEL=small,
        ANTHROPIC_SMALL_FAST_MODEL=small,
        CLAUDE_CODE_MAX_CONTEXT_TOKENS=str(to.context_tokens),
        CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY="1",
    )
    return (Snippet("the shell", "sh", f"unset ANTHROPIC_API_KEY\n{lines}\nclaude"),)


def _opencode(to: Target) -> tuple[Snippet, ...]:
    limit = {"context": to.context_tokens, "output": min(32_000, to.context_tokens // 2)}
    models = {name: {"limit": limit} for name in dict.fromkeys((to.model, to.small))}
    options = {"baseURL": to.url, "apiKey": to.reference("{env:%s}")}
    value = {
        "$schema": "https://opencode.ai/config.json",
        "model": f"gateway/{to.model}",
        "small_model": f"gateway/{to.small}",
        "provider": {
            "gateway": {
                "npm": "@ai-sdk/openai-compatible", "name": "Gateway", "options": options, "models": models
            }
        },
    }  # fmt: skip
    return Snippet("opencode.json", "json", _json(value)), Snippet("the shell", "sh", "opencode")


def _open_webui(to: Target) -> tuple[Snippet, ...]:
    lines = _exports(
        ENABLE_OLLAMA_API="false", OPENAI_API_BASE_URL=quote(to.url), OPENAI_API_KEY=to.shell_key,
        DEFAULT_MODELS=quote(to.model), TASK_MODEL_EXTERNAL=quote(to.small),
    )  # fmt: skip
    return (Snippet("the shell", "sh", f"{lines}\nopen-webui serve"),)


def _librechat(to: Target) -> tuple[Snippet, ...]:
    lines = (
        "version: 1.2.1",
        "endpoints:",
        "  custom:",
        "    - name: Gateway",
        f"      apiKey: {_text(to.reference('${%s}'))}",
        f"      baseURL: {_text(to.url)}",
        "      models:",
        f"        default: [{_text(to.model)}]",
        "        fetch: true",
        "      titleConvo: true",
        f"      titleModel: {_text(to.small)}",
    )
    return (Snippet("librechat.yaml", "yaml", "\n".join(lines)),)


def _continue(to: Target) -> tuple[Snippet, ...]:
    lines = (
        "name: Gateway",
        "version: 0.0.1",
        "schema: v1",
        "models:",
        f"  - name: {_text(to.model)}",
        "    provider: openai",
        f"    model: {_text(to.model)}",
        f"    apiBase: {_text(to.url)}",
        f"    apiKey: {_text(to.reference('${{ secrets.%s }}'))}",
        "    roles: [chat, edit, apply]",
        "    capabilities: [tool_use]",
        "    defaultCompletionOptions:",
        f"      contextLength: {to.context_tokens}",
    )
    return (Snippet("~/.continue/config.yaml", "yaml", "\n".join(lines)),)


def _cline(to: Target) -> tuple[Snippet, ...]:
    line = f"cline auth -p openai -k {to.shell_key} -b {quote(to.url)} -m {quote(to.model)}"
    return (Snippet("the shell", "sh", line),)


def _aider(to: Target) -> tuple[Snippet, ...]:
    lines = _exports(OPENAI_API_BASE=quote(to.url), OPENAI_API_KEY=to.shell_key)
    command = f"aider --model {quote(f'openai/{to.model}')} --weak-model {quote(f'openai/{to.small}')}"
    return (Snippet("the shell", "sh", f"{lines}\n{command}"),)


def _zed(to: Target) -> tuple[Snippet, ...]:
    able = {"tools": True, "images": False, "parallel_tool_calls": True, "prompt_cache_key": False}
    model = {"name": to.model, "display_name": to.model, "max_tokens": to.context_tokens, "capabilities": able}
    value = {
        "language_models": {"openai_compatible": {"Gateway": {"api_url": to.url, "available_models": [model]}}},
        "agent": {"default_model": {"provider": "Gateway", "model": to.model}},
    }
    # Zed names the variable after the provider, and so it happens to be ours.
    command = f"{KEY_VARIABLE}={to.shell_key} zed"
    return Snippet("~/.config/zed/settings.json", "json", _json(value)), Snippet("the shell", "sh", command)


def _n8n(to: Target) -> tuple[Snippet, ...]:
    data = {"apiKey": to.reference("${%s}"), "url": to.url}
    value = [{"id": "gateway", "name": "Gateway", "type": "openAiApi", "data": data}]
    word = _json(value)
    # The shell fills in the key: n8n's file has no references.
    head = "cat > gateway-credential.json <<EOF" if to.key is None else "cat > gateway-credential.json <<'EOF'"
    lines = (head, word, "EOF", "n8n import:credentials --input=gateway-credential.json", "rm gateway-credential.json")
    return (Snippet("the shell", "sh", "\n".join(lines)),)


def _llm(to: Target) -> tuple[Snippet, ...]:
    lines = (
        f"- model_id: {_text(to.model)}",
        f"  model_name: {_text(to.model)}",
        f"  api_base: {_text(to.url)}",
        "  api_key_name: gateway",
        "  supports_tools: true",
        "  supports_schema: true",
    )
    commands = f"llm keys set gateway --value {to.shell_key}\nllm -m {quote(to.model)} 'Hello!'"
    return (
        Snippet('"$(dirname "$(llm logs path)")"/extra-openai-models.yaml', "yaml", "\n".join(lines)),
        Snippet("the shell", "sh", commands),
    )


CLIENTS: Mapping[str, Client] = {
    "openai": Client("OpenAI's SDKs", "https://github.com/openai/openai-python", _openai),
    "anthropic": Client("Anthropic's SDKs", "https://github.com/anthropics/anthropic-sdk-python", _anthropic),
    "langchain": Client("LangChain", "https://docs.langchain.com/oss/python/integrations/chat/openai", _langchain),
    "llamaindex": Client("LlamaIndex", "https://pypi.org/project/llama-index-llms-openai-like/", _llamaindex),
    "codex": Client(
        "Codex", "https://developers.openai.com/codex/config-reference", _codex,
        "It warns that it has no metadata for this model; the warning is harmless.",
    ),
    "claude-code": Client(
        "Claude Code", "https://code.claude.com/docs/en/env-vars", _claude_code,
        "Its menu (/model) shows the gateway's names that contain claude or anthropic.",
    ),
    "opencode": Client("opencode", "https://opencode.ai/docs/providers", _opencode),
    "open-webui": Client(
        "Open WebUI", "https://docs.openwebui.com/reference/env-configuration", _open_webui,
        "After its first start, Open WebUI takes these from its database: Admin Settings, Connections.",
    ),
    "librechat": Client(
        "LibreChat", "https://www.librechat.ai/docs/quick_start/custom_endpoints", _librechat,
        "In Docker, write host.docker.internal for 127.0.0.1.",
    ),
    "continue": Client(
        "Continue", "https://docs.continue.dev/reference", _continue, "Its secrets are in ~/.continue/.env."
    ),
    "cline": Client(
        "Cline", "https://docs.cline.bot/provider-config/openai-compatible", _cline,
        'In the editor: API Provider "OpenAI Compatible", with the same three values.',
    ),
    "aider": Client("aider", "https://aider.chat/docs/llms/openai-compat.html", _aider),
    "zed": Client("Zed", "https://zed.dev/docs/ai/use-api-access", _zed),
    "n8n": Client(
        "n8n", "https://docs.n8n.io/integrations/builtin/credentials/openai", _n8n,
        "Or add it by hand: Credentials, OpenAI, with the API Key and the Base URL.",
    ),
    "llm": Client("llm", "https://llm.datasette.io/en/stable/other-models.html", _llm),
}  # fmt: skip
