"""Exchange the code that a browser brought from a provider's page for a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from gateway.core.sign_in import Refused, exchange_of, key_of
from gateway.upstream.client import USER_AGENT, Client
from gateway.upstream.transport import Transport

if TYPE_CHECKING:
    from gateway.core.sign_in import Proof

WITHIN_S = 30.0


async def exchanged(url: str, code: str, proof: Proof) -> str:
    """Return the key that a provider gives for a code.

    Raises:
        Refused: it gives none, or cannot be reached.
    """
    client = Client()
    try:
        async with httpx.AsyncClient(
            transport=Transport(client), headers={"user-agent": USER_AGENT}, timeout=WITHIN_S, trust_env=False
        ) as http:
            answer = await http.post(url, json=exchange_of(code, proof))
    except httpx.RequestError as error:
        raise Refused(f"{url} cannot be reached: {str(error) or type(error).__name__}") from None
    finally:
        client.close()
    return key_of(answer.status_code, answer.content)
