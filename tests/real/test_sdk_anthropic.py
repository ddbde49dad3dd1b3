"""Anthropic's SDK reads the gateway's list of models, page by page."""

from __future__ import annotations

import asyncio

import anthropic
import pytest

from tests.serving import serving

SEVERAL = """
providers:
  one: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1"}
models: {main: one/a, memory: one/b, vision: one/c}
roles: {rlm: {models: [main]}}
"""
NAMES = ["role:rlm", "main", "memory", "vision"]


async def test_models() -> None:
    """Each has the fields that it shows."""
    async with serving(SEVERAL) as running:
        url = running.base_url.removesuffix("/v1")
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k") as client:
            page = await client.models.list()
            assert [model.id for model in page.data][:4] == NAMES
            assert not page.has_more
            one = await client.models.retrieve("role:rlm")
            assert (one.id, one.type, one.display_name) == ("role:rlm", "model", "role:rlm")
            assert one.created_at.year >= 2026
            with pytest.raises(anthropic.NotFoundError):
                await client.models.retrieve("nothing")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
async def test_pages(limit: int) -> None:
    """Whoever asks for small pages gets each model once, in either direction, and an end."""

    def use(base_url: str) -> None:
        with anthropic.Anthropic(base_url=base_url, api_key="k") as client:
            every = [model.id for model in client.models.list()]
            assert every[:4] == NAMES
            assert [model.id for model in client.models.list(limit=limit)] == every
            assert [model.id for model in client.models.list(after_id="main")] == every[2:]
            assert [model.id for model in client.models.list(before_id="memory").data] == every[:2]
            assert client.models.list(after_id="nothing").data == []

    async with serving(SEVERAL) as running:
        async with asyncio.timeout(20):
            await asyncio.to_thread(use, running.base_url.removesuffix("/v1"))
