"""A provider with one model, whose answers are scripted: it speaks chat, messages, responses, or several of them."""

from tests.clients.provider.provider import DIALECTS, answer, speaking, targets_of

__all__ = ["DIALECTS", "answer", "speaking", "targets_of"]
