"""Give every call of a tool in one answer an id of its own.

Clients find a call's result by its id, and SDKs raise on one that comes twice. Some local servers give none, or the
same to all. The provider's own id stays wherever it is one.
"""

from __future__ import annotations


class CallIds:
    """The ids of one answer's calls."""

    def __init__(self, name: str) -> None:
        """`name`: of the answer. No other answer has it."""
        self._name = name
        self._given: set[tuple[int, str]] = set()

    def give(self, said: str, prefix: str, choice: int = 0) -> str:
        """Return the id of the next call. `said`: by the provider. `choice`: each choice is an answer of its own."""
        identity = said
        if not said or (choice, said) in self._given:
            identity = f"{prefix}_{self._name}{len(self._given):02d}"
        self._given.add((choice, identity))
        return identity
