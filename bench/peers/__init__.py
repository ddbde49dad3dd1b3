"""Other gateways to compare with, each in an environment of its own below bench/.peers."""

from __future__ import annotations

from bench.peers import envoy, litellm, portkey, smg, tensorzero

ALL = (envoy.TARGET, smg.TARGET, tensorzero.TARGET, portkey.TARGET, litellm.TARGET)
