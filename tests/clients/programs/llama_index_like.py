"""LlamaIndex: OpenAILike."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

import checks as c
import openai
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Person(BaseModel):
    """A person of whom was asked."""

    name: str
    born: int


class Chat:
    def __init__(self, url: str, model: str) -> None:
        self._url, self._model = f"{url}/v1", model
        self._llm = OpenAILike(
            model=model, api_base=self._url, api_key=c.KEY, max_retries=0, timeout=c.PATIENCE_S,
            is_chat_model=True, is_function_calling_model=True, context_window=32_000,
        )  # fmt: skip

    @staticmethod
    def _said(text):
        return [ChatMessage(role="user", content=text)]

    def plain(self):
        c.same(self._llm.chat(self._said(c.SAY_HELLO)).message.content, c.HELLO)
        c.same(self._llm.complete(c.SAY_HELLO).text, c.HELLO)

    def stream(self):
        pieces = [piece.delta for piece in self._llm.stream_chat(self._said(c.SAY_HELLO)) if piece.delta]
        c.same(("".join(pieces), len(pieces)), (c.HELLO, 4))

    def usage(self):
        usage = self._llm.chat(self._said(c.SAY_HELLO)).raw.usage
        c.same((usage.prompt_tokens, usage.completion_tokens), (c.INPUT_TOKENS, c.OUTPUT_TOKENS))

    def tools(self):
        async def ask():
            for streaming in (False, True):
                agent = FunctionAgent(tools=[c.weather], llm=self._llm, streaming=streaming)
                c.measured(str(await agent.run(c.WEATHER)))

        asyncio.run(asyncio.wait_for(ask(), 2 * c.PATIENCE_S))

    def structured(self):
        c.same(self._llm.as_structured_llm(Person).chat(self._said(c.WHO)).raw, Person(**c.ADA))

    def images(self):
        blocks = [TextBlock(text=c.LOOK), ImageBlock(image=c.PNG, image_mimetype="image/png")]
        c.same(self._llm.chat([ChatMessage(role="user", blocks=blocks)]).message.content, c.SEEN)

    def errors(self):
        c.raises(openai.RateLimitError, lambda: self._llm.chat(self._said(c.TOO_OFTEN)))
        c.raises(openai.BadRequestError, lambda: self._llm.chat(self._said(c.TOO_LONG)))
        c.raises(openai.APIError, lambda: list(self._llm.stream_chat(self._said(c.BREAK_OFF))))

    def embeddings(self):
        model = OpenAILikeEmbedding(model_name=self._model, api_base=self._url, api_key=c.KEY)
        c.same(model.get_text_embedding_batch(["one", "three"]), [[0.0, 3.0], [1.0, 5.0]])


if __name__ == "__main__":
    c.main(version("llama-index-llms-openai-like"), {"chat": Chat})
