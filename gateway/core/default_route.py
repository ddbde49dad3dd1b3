"""Decide which unknown model names go to the default route. Clients ask for names that are built into them."""

from __future__ import annotations

from dataclasses import dataclass

BUILT_IN = ("gpt-", "chatgpt-", "codex-", "claude-", "o1", "o3", "o4")
"""How the names begin that clients ask for unasked. Seen in November 2026: `gpt-6.1-sol` (Codex 0.169), `gpt-5.6-luna`
(OpenAI's Agents SDK 0.24) and `claude-opus-5-5` (Claude Code 2.1)."""

# Names of these forms say where they lead. An unknown one is a typing slip.
_SPELLED_OUT = ("role:", "auto:")


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """The route of names that nobody lists."""

    target: str
    beginnings: tuple[str, ...] = ()
    """Only names that begin so go there. Empty: all names."""

    def takes(self, name: str) -> bool:
        """Tell whether an unknown name goes here. A name with a slash does not: it says which provider it means."""
        if not name or "/" in name or name.startswith(_SPELLED_OUT):
            return False
        return not self.beginnings or name.startswith(self.beginnings)


def remedy(name: str) -> str:
    """Return how to serve an unknown name, for a message; "" if a default route would not take it either."""
    if not DefaultRoute("").takes(name):
        return ""
    family = next((one for one in BUILT_IN if name.startswith(one)), "")
    if not family:
        return "set defaults.route to serve every unknown name"
    rule = f'{{when: {{model: "{family}*"}}, use: …}}'
    return f"to serve names that clients have built in, set defaults.route, or a rule {rule}"
