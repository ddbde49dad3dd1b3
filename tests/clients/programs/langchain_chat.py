"""LangChain: its chat models for OpenAI and for Anthropic, and its agent."""

from __future__ import annotations

from importlib.metadata import version

import anthropic
import checks as c
import openai
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class Person(BaseModel):
    """A person of whom was asked."""

    name: str
    born: int


class Checks:
    _errors: object
    _broken: type[Exception]
    _picture: object

    def __init__(self, url: str, model: str) -> None:
        self._url, self._name = url, model
        self._model = self._made()

    def plain(self):
        c.same(self._model.invoke(c.SAY_HELLO).text, c.HELLO)

    def stream(self):
        pieces = [text for piece in self._model.stream(c.SAY_HELLO) if (text := piece.text)]
        c.same(("".join(pieces), len(pieces)), (c.HELLO, 4))

    def usage(self):
        streamed = None
        for piece in self._model.stream(c.SAY_HELLO):
            streamed = piece if streamed is None else streamed + piece
        for answer in (self._model.invoke(c.SAY_HELLO), streamed):
            usage = answer.usage_metadata
            c.same((usage["input_tokens"], usage["output_tokens"]), (c.INPUT_TOKENS, c.OUTPUT_TOKENS))

    def tools(self):
        agent = create_agent(self._model, [c.weather])
        question = {"messages": [{"role": "user", "content": c.WEATHER}]}
        c.measured(agent.invoke(question)["messages"][-1].text)
        *_, last = agent.stream(question, stream_mode="values")
        c.measured(last["messages"][-1].text)
        calls = None
        for piece in self._model.bind_tools([c.weather]).stream(c.WEATHER):
            calls = piece if calls is None else calls + piece
        c.same([call["args"] for call in calls.tool_calls], [{"city": "Oslo"}, {"city": "Lima"}])

    def structured(self):
        for method in ("function_calling", "json_schema"):
            c.same(self._model.with_structured_output(Person, method=method).invoke(c.WHO), Person(**c.ADA))

    def images(self):
        message = {"role": "user", "content": [{"type": "text", "text": c.LOOK}, self._picture]}
        c.same(self._model.invoke([message]).text, c.SEEN)

    def errors(self):
        library = self._errors
        c.raises(library.RateLimitError, lambda: self._model.invoke(c.TOO_OFTEN))
        c.raises(library.BadRequestError, lambda: self._model.invoke(c.TOO_LONG))
        c.raises(self._broken, lambda: list(self._model.stream(c.BREAK_OFF)))


class OpenAI(Checks):
    _errors = openai
    _picture = {"type": "image_url", "image_url": {"url": c.PNG_URL}}
    _more: dict = {}

    def _made(self):
        return ChatOpenAI(
            base_url=f"{self._url}/v1", api_key=c.KEY, model=self._name, max_retries=0, timeout=c.PATIENCE_S,
            stream_usage=True, **self._more,
        )  # fmt: skip


class Chat(OpenAI):
    _broken = openai.APIError

    def embeddings(self):
        url = f"{self._url}/v1"
        model = OpenAIEmbeddings(base_url=url, api_key=c.KEY, model=self._name, check_embedding_ctx_length=False)
        c.same(model.embed_documents(["one", "three"]), [[0.0, 3.0], [1.0, 5.0]])


class Responses(OpenAI):
    _more = {"use_responses_api": True}
    _broken = ValueError  # with the error that the stream told


class Messages(Checks):
    _errors = anthropic
    _broken = anthropic.APIError
    _picture = {"type": "image", "source_type": "base64", "mime_type": "image/png", "data": c.PNG_URL.split(",")[1]}

    def _made(self):
        return ChatAnthropic(
            base_url=self._url, api_key=c.KEY, model=self._name, max_retries=0, timeout=c.PATIENCE_S, max_tokens=1000
        )


if __name__ == "__main__":
    c.main(version("langchain"), {"chat": Chat, "responses": Responses, "messages": Messages})
