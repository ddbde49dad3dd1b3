"""OpenAI's SDK: chat completions and responses."""

from __future__ import annotations

import json

import checks as c
import openai
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    born: int


def client_of(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=c.KEY, max_retries=0, timeout=c.PATIENCE_S)


def city_of(arguments: str) -> str:
    return json.loads(arguments)["city"]


class Chat:
    def __init__(self, url: str, model: str) -> None:
        self._client, self._model = client_of(url), model

    def _create(self, said, **more):
        messages = [{"role": "user", "content": said}] if isinstance(said, (str, list)) else said["messages"]
        return self._client.chat.completions.create(model=self._model, messages=messages, **more)

    def plain(self):
        answer = self._create(c.SAY_HELLO)
        c.same((answer.choices[0].message.content, answer.choices[0].finish_reason), (c.HELLO, "stop"))

    def stream(self):
        chunks = list(self._create(c.SAY_HELLO, stream=True))
        pieces = [piece for chunk in chunks for choice in chunk.choices if (piece := choice.delta.content)]
        c.same(("".join(pieces), len(pieces)), (c.HELLO, 4))

    def usage(self):
        *_, last = self._create(c.SAY_HELLO, stream=True, stream_options={"include_usage": True})
        for usage in (self._create(c.SAY_HELLO).usage, last.usage):
            c.same((usage.prompt_tokens, usage.completion_tokens), (c.INPUT_TOKENS, c.OUTPUT_TOKENS))
            c.same(usage.prompt_tokens_details.cached_tokens, 3)

    def tools(self):
        function = {"name": "weather", "description": "The weather", "parameters": c.WEATHER_SCHEMA}
        tools = [{"type": "function", "function": function}]
        question = {"role": "user", "content": c.WEATHER}
        said = self._create({"messages": [question]}, tools=tools).choices[0].message
        with self._client.chat.completions.stream(model=self._model, messages=[question], tools=tools) as stream:
            streamed = stream.get_final_completion().choices[0].message
        for message in (said, streamed):
            cities = [city_of(call.function.arguments) for call in message.tool_calls]
            c.same(cities, ["Oslo", "Lima"])
            results = [
                {"role": "tool", "tool_call_id": call.id, "content": c.weather(city)}
                for call, city in zip(message.tool_calls, cities, strict=True)
            ]
            sent_back = message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"})
            for call in sent_back["tool_calls"]:
                call["function"].pop("parsed_arguments", None)
            answer = self._create({"messages": [question, sent_back, *results]}, tools=tools)
            c.measured(answer.choices[0].message.content)

    def structured(self):
        messages = [{"role": "user", "content": c.WHO}]
        answer = self._client.chat.completions.parse(model=self._model, messages=messages, response_format=Person)
        c.same(answer.choices[0].message.parsed, Person(**c.ADA))

    def images(self):
        parts = [{"type": "text", "text": c.LOOK}, {"type": "image_url", "image_url": {"url": c.PNG_URL}}]
        c.same(self._create(parts).choices[0].message.content, c.SEEN)

    def errors(self):
        limited = c.raises(openai.RateLimitError, lambda: self._create(c.TOO_OFTEN))
        c.same(limited.response.headers.get("retry-after"), c.RETRY_AFTER_S)
        c.same(c.raises(openai.BadRequestError, lambda: self._create(c.TOO_LONG)).code, "context_length_exceeded")
        c.raises(openai.APIError, lambda: list(self._create(c.BREAK_OFF, stream=True)))

    def embeddings(self):
        for coding in ({}, {"encoding_format": "float"}):
            found = self._client.embeddings.create(model=self._model, input=["one", "three"], **coding)
            c.same([one.embedding for one in found.data], [[0.0, 3.0], [1.0, 5.0]])

    def models(self):
        c.same(self._model in [one.id for one in self._client.models.list()], True)
        c.same(self._client.models.retrieve(self._model).id, self._model)


class Responses:
    def __init__(self, url: str, model: str) -> None:
        self._client, self._model = client_of(url), model

    def _create(self, said, **more):
        return self._client.responses.create(model=self._model, input=said, **more)

    def plain(self):
        answer = self._create(c.SAY_HELLO, instructions="Be kind.")
        c.same((answer.output_text, answer.status), (c.HELLO, "completed"))

    def stream(self):
        events = list(self._create(c.SAY_HELLO, stream=True))
        pieces = [one.delta for one in events if one.type == "response.output_text.delta"]
        c.same(("".join(pieces), len(pieces)), (c.HELLO, 4))
        c.same((events[0].type, events[-1].type), ("response.created", "response.completed"))
        c.same([one.sequence_number for one in events], sorted({one.sequence_number for one in events}))
        with self._client.responses.stream(model=self._model, input=c.SAY_HELLO) as stream:
            c.same(stream.get_final_response().output_text, c.HELLO)

    def usage(self):
        *_, last = self._create(c.SAY_HELLO, stream=True)
        for usage in (self._create(c.SAY_HELLO).usage, last.response.usage):
            c.same((usage.input_tokens, usage.output_tokens), (c.INPUT_TOKENS, c.OUTPUT_TOKENS))
            c.same(usage.input_tokens_details.cached_tokens, 3)

    def tools(self):
        tools = [{"type": "function", "name": "weather", "parameters": c.WEATHER_SCHEMA, "strict": False}]
        question = {"role": "user", "content": c.WEATHER}
        said = self._create([question], tools=tools)
        with self._client.responses.stream(model=self._model, input=[question], tools=tools) as stream:
            streamed = stream.get_final_response()
        for answer in (said, streamed):
            calls = [one for one in answer.output if one.type == "function_call"]
            cities = [city_of(call.arguments) for call in calls]
            c.same(cities, ["Oslo", "Lima"])
            sent_back = [
                {"type": "function_call", "call_id": one.call_id, "name": one.name, "arguments": one.arguments}
                for one in calls
            ]
            results = [
                {"type": "function_call_output", "call_id": call.call_id, "output": c.weather(city)}
                for call, city in zip(calls, cities, strict=True)
            ]
            c.measured(self._create([question, *sent_back, *results], tools=tools).output_text)

    def structured(self):
        answer = self._client.responses.parse(model=self._model, input=c.WHO, text_format=Person)
        c.same(answer.output_parsed, Person(**c.ADA))

    def images(self):
        parts = [{"type": "input_text", "text": c.LOOK}, {"type": "input_image", "image_url": c.PNG_URL}]
        c.same(self._create([{"role": "user", "content": parts}]).output_text, c.SEEN)

    def errors(self):
        limited = c.raises(openai.RateLimitError, lambda: self._create(c.TOO_OFTEN))
        c.same(limited.response.headers.get("retry-after"), c.RETRY_AFTER_S)
        c.same(c.raises(openai.BadRequestError, lambda: self._create(c.TOO_LONG)).code, "context_length_exceeded")
        try:
            *_, last = self._create(c.BREAK_OFF, stream=True)
        except openai.APIError:
            return
        c.same(last.type in {"response.failed", "error"}, True)


if __name__ == "__main__":
    c.main(openai.__version__, {"chat": Chat, "responses": Responses})
