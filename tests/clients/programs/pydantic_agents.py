"""pydantic-ai: its agent on chat completions, on responses and on Anthropic's messages."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

import anthropic
import checks as c
import openai
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


class Person(BaseModel):
    """A person of whom was asked."""

    name: str
    born: int


class Checks:
    _outputs = (ToolOutput(Person), NativeOutput(Person))

    def __init__(self, url: str, model: str) -> None:
        self._url, self._name = url, model

    def _run(self, said, **more):
        """Run an agent in a loop of its own, with a client of its own; a client does not outlive its loop."""

        async def ask():
            return await Agent(self._made(), retries=0, **more).run(said)

        return asyncio.run(asyncio.wait_for(ask(), c.PATIENCE_S))

    def _streamed(self, said, **more):
        async def ask():
            agent = Agent(self._made(), retries=0, **more)
            async with agent.run_stream(said) as result:
                pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
                usage = result.usage
                return pieces, usage() if callable(usage) else usage

        return asyncio.run(asyncio.wait_for(ask(), c.PATIENCE_S))

    def plain(self):
        c.same(self._run(c.SAY_HELLO, instructions="Be kind.").output, c.HELLO)

    def stream(self):
        pieces, _ = self._streamed(c.SAY_HELLO)
        c.same(("".join(pieces), len(pieces)), (c.HELLO, 4))

    def usage(self):
        usage = self._run(c.SAY_HELLO).usage
        for found in (usage() if callable(usage) else usage, self._streamed(c.SAY_HELLO)[1]):
            c.same((found.input_tokens, found.output_tokens), (c.INPUT_TOKENS, c.OUTPUT_TOKENS))
            c.same(found.cache_read_tokens, 3)

    def tools(self):
        c.measured(self._run(c.WEATHER, tools=[c.weather]).output)
        pieces, _ = self._streamed(c.WEATHER, tools=[c.weather])
        c.measured("".join(pieces))

    def structured(self):
        for output in self._outputs:
            c.same(self._run(c.WHO, output_type=output).output, Person(**c.ADA))

    def images(self):
        c.same(self._run([c.LOOK, BinaryContent(data=c.PNG, media_type="image/png")]).output, c.SEEN)

    def errors(self):
        for said, status in ((c.TOO_OFTEN, 429), (c.TOO_LONG, 400)):
            refused = c.raises(ModelHTTPError, lambda said=said: self._run(said))
            c.same(refused.status_code, status)
        broken = (ModelAPIError, openai.APIError, anthropic.APIError)
        c.raises(broken, lambda: self._streamed(c.BREAK_OFF))


class Chat(Checks):
    def _made(self):
        client = openai.AsyncOpenAI(base_url=f"{self._url}/v1", api_key=c.KEY, max_retries=0)
        return OpenAIChatModel(self._name, provider=OpenAIProvider(openai_client=client))


class Responses(Checks):
    def _made(self):
        client = openai.AsyncOpenAI(base_url=f"{self._url}/v1", api_key=c.KEY, max_retries=0)
        return OpenAIResponsesModel(self._name, provider=OpenAIProvider(openai_client=client))


class Messages(Checks):
    _outputs = (ToolOutput(Person),)  # the other is kept for models whose names it knows

    def _made(self):
        client = anthropic.AsyncAnthropic(base_url=self._url, api_key=c.KEY, max_retries=0)
        return AnthropicModel(self._name, provider=AnthropicProvider(anthropic_client=client))


if __name__ == "__main__":
    c.main(version("pydantic-ai-slim"), {"chat": Chat, "responses": Responses, "messages": Messages})
