"""What a provider's entry says of its quirks changes every call to it, and is counted."""

from __future__ import annotations

from tests.faults import FaultyUpstream, chat, chat_json
from tests.proxy.scene import ask, url_of
from tests.serving import config_of, serving


async def test_quirks_change_what_is_sent() -> None:
    """Each change is counted by its name; a call that needs none goes through byte for byte and counts nothing."""
    async with FaultyUpstream(chat_json("Hi")) as upstream:
        config = config_of(
            f"""
providers:
  odd:
    base_url: "{url_of(upstream.port)}"
    models: [m]
    quirks: {{drop: [seed], rename: {{max_tokens: most}}, clamp: {{temperature: [0, 1]}}, headers: {{x-odd: "1"}}}}
"""
        )
        async with serving(config) as running:
            await ask(running, chat(model="odd/m", temperature=0.5))
            for _ in range(2):
                await ask(running, chat(model="odd/m", seed=1, max_tokens=5, temperature=2))
            metrics = running.gateway.metrics.expose().decode()
    first, second, _ = upstream.requests
    assert first.headers["x-odd"] == "1"
    assert first.json["temperature"] == 0.5
    sent = {name: second.json.get(name) for name in ("seed", "max_tokens", "most", "temperature")}
    assert sent == {"seed": None, "max_tokens": None, "most": 5, "temperature": 1}
    for repair in ("drop seed", "rename max_tokens", "clamp temperature"):
        assert f'gateway_repairs_total{{provider="odd",repair="{repair}"}} 2.0' in metrics
    assert metrics.count("gateway_repairs_total{") == 3
