"""Anthropic's SDK."""

from __future__ import annotations

import base64

import anthropic
import checks as c
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    born: int


class Messages:
    def __init__(self, url: str, model: str) -> None:
        self._model = model
        self._client = anthropic.Anthropic(base_url=url, api_key=c.KEY, max_retries=0, timeout=c.PATIENCE_S)

    def _create(self, said, **more):
        messages = said if isinstance(said, list) and "role" in said[0] else [{"role": "user", "content": said}]
        return self._client.messages.create(model=self._model, max_tokens=1000, messages=messages, **more)

    def _stream(self, said, **more):
        messages = [{"role": "user", "content": said}]
        with self._client.messages.stream(model=self._model, max_tokens=1000, messages=messages, **more) as stream:
            return list(stream.text_stream), stream.get_final_message()

    def plain(self):
        answer = self._create(c.SAY_HELLO, system="Be kind.")
        c.same((answer.content[0].text, answer.stop_reason), (c.HELLO, "end_turn"))

    def stream(self):
        pieces, answer = self._stream(c.SAY_HELLO)
        c.same(("".join(pieces), len(pieces)), (c.HELLO, 4))
        c.same((answer.content[0].text, answer.stop_reason), (c.HELLO, "end_turn"))

    def usage(self):
        for usage in (self._create(c.SAY_HELLO).usage, self._stream(c.SAY_HELLO)[1].usage):
            c.same((usage.input_tokens, usage.cache_read_input_tokens), (c.INPUT_TOKENS - 3, 3))
            c.same(usage.output_tokens, c.OUTPUT_TOKENS)

    def tools(self):
        tools = [{"name": "weather", "description": "The weather", "input_schema": c.WEATHER_SCHEMA}]
        for answer in (self._create(c.WEATHER, tools=tools), self._stream(c.WEATHER, tools=tools)[1]):
            c.same(answer.stop_reason, "tool_use")
            uses = [block for block in answer.content if block.type == "tool_use"]
            c.same([use.input for use in uses], [{"city": "Oslo"}, {"city": "Lima"}])
            results = [
                {"type": "tool_result", "tool_use_id": use.id, "content": c.weather(use.input["city"])} for use in uses
            ]
            turns = [
                {"role": "user", "content": c.WEATHER},
                {"role": "assistant", "content": answer.content},
                {"role": "user", "content": results},
            ]
            c.measured(self._create(turns, tools=tools).content[0].text)

    def structured(self):
        messages = [{"role": "user", "content": c.WHO}]
        parse = self._client.messages.parse
        answer = parse(model=self._model, max_tokens=1000, messages=messages, output_format=Person)
        c.same(answer.parsed_output, Person(**c.ADA))

    def images(self):
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(c.PNG).decode()}
        answer = self._create([{"type": "text", "text": c.LOOK}, {"type": "image", "source": source}])
        c.same(answer.content[0].text, c.SEEN)

    def errors(self):
        limited = c.raises(anthropic.RateLimitError, lambda: self._create(c.TOO_OFTEN))
        c.same(limited.response.headers.get("retry-after"), c.RETRY_AFTER_S)
        refused = c.raises(anthropic.BadRequestError, lambda: self._create(c.TOO_LONG))
        c.same(refused.body["error"]["type"], "invalid_request_error")
        c.raises(anthropic.APIError, lambda: self._stream(c.BREAK_OFF))

    def models(self):
        c.same(self._model in [one.id for one in self._client.models.list()], True)


if __name__ == "__main__":
    c.main(anthropic.__version__, {"messages": Messages})
