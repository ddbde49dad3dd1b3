"""instructor: every way in which it asks OpenAI's API for an object."""

from __future__ import annotations

from importlib.metadata import version

import checks as c
import instructor
import openai
from instructor import Mode
from pydantic import BaseModel


class Person(BaseModel):
    """A person of whom was asked."""

    name: str
    born: int


class Chat:
    _modes = (Mode.TOOLS, Mode.TOOLS_STRICT, Mode.JSON, Mode.JSON_SCHEMA)

    def __init__(self, url: str, model: str) -> None:
        self._client = openai.OpenAI(base_url=f"{url}/v1", api_key=c.KEY, max_retries=0, timeout=c.PATIENCE_S)
        self._model = model

    def _asked(self, mode, said=c.WHO):
        question = [{"role": "user", "content": said}]
        asked = {"model": self._model, "messages": question, "response_model": Person, "max_retries": 0}
        return instructor.from_openai(self._client, mode=mode), asked

    def stream(self):
        client, asked = self._asked(Mode.TOOLS)
        *_, last = client.create_partial(**asked)
        c.same(last.model_dump(), c.ADA)

    def structured(self):
        for mode in self._modes:
            client, asked = self._asked(mode)
            c.same(client.create(**asked).model_dump(), c.ADA)

    def usage(self):
        client, asked = self._asked(Mode.TOOLS)
        usage = client.create_with_completion(**asked)[1].usage
        c.same((usage.prompt_tokens, usage.completion_tokens), (c.INPUT_TOKENS, c.OUTPUT_TOKENS))

    def errors(self):
        for said, status in ((c.TOO_OFTEN, 429), (c.TOO_LONG, 400)):
            client, asked = self._asked(Mode.TOOLS, said)
            error = c.raises(Exception, lambda client=client, asked=asked: client.create(**asked))
            c.same(f"Error code: {status}" in str(error), True)


class Responses:
    def __init__(self, url: str, model: str) -> None:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=c.KEY, max_retries=0, timeout=c.PATIENCE_S)
        self._client, self._model = instructor.from_openai(client, mode=Mode.RESPONSES_TOOLS), model

    def structured(self):
        question = [{"role": "user", "content": c.WHO}]
        found = self._client.create(model=self._model, messages=question, response_model=Person, max_retries=0)
        c.same(found.model_dump(), c.ADA)


if __name__ == "__main__":
    c.main(version("instructor"), {"chat": Chat, "responses": Responses})
