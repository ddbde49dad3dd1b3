"""Switch a role or an alias to another model: the edits, and the checks before them.

A check never changes anything. It asks the provider for its list, and on demand for one tiny answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.catalog import is_listed, read_listing
from gateway.config.edits import Edit
from gateway.control.refusals import Invalid
from gateway.control.trial import Step, steps_of
from gateway.core.money import exact_usd
from gateway.core.names import ROLE, nearest, quoted, resolve
from gateway.core.secrets import mask_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.control.desk import View
    from gateway.core.names import Directory
    from gateway.types import Ability, Candidate, Route
    from gateway.upstream.ask import Asker


class Rehearsal(NamedTuple):
    """What a switch would come to."""

    ok: bool
    """No check has failed."""
    before: str
    """The upstream that comes first now; empty if there is none."""
    after: str
    steps: tuple[Step, ...]

    @property
    def objection(self) -> str:
        """Why the switch is better not made; empty if nothing speaks against it."""
        return "; ".join(f"{one.step}: {one.detail}" for one in self.steps if one.ok is False)


# -- the edits


def switched(view: View, name: str, target: str) -> Sequence[Edit]:
    """Return the edits that make a target the first one of a role, or the only one of an alias.

    It takes the place of the first target that there is; the others stay behind it.

    Raises:
        Invalid: there is no such role or alias.
    """
    section, key = ("roles", name.removeprefix(ROLE)) if name.startswith(ROLE) else ("models", name)
    known: Mapping[str, Any] = view.merged.get(section) or {}
    if key not in known:
        roles, aliases = view.merged.get("roles") or {}, view.merged.get("models") or {}
        near = nearest(name, [*(ROLE + one for one in roles), *aliases])
        words = f"there is no role or alias {quoted(name[:200])}{near}"
        raise Invalid(words, param="name", code="not_found", status=404)
    return [Edit((section, key), _put(known[key], target.replace("$", "$$"), section))]


def _put(value: Any, target: str, section: str) -> Any:
    field = "models" if section == "roles" else "model"
    if isinstance(value, dict) and field in value:
        return {**value, field: _first(value[field], target)}
    return _first(value, target)


def _first(value: Any, target: str) -> Any:
    if not isinstance(value, list):
        return target
    first, *others = value or [target]
    new = {**first, "model": target} if isinstance(first, dict) else target
    return [new, *(one for one in others if (one.get("model") if isinstance(one, dict) else one) != target)]


# -- the checks


async def rehearsed(asker: Asker, directory: Directory, name: str, target: str, *, call: bool) -> Rehearsal:
    """Return what speaks for and against a switch. `call`: ask the model for one tiny answer too.

    Raises:
        ModelNotFound: the role, the alias or the target is unknown, or the target's provider has no key.
        Invalid: the target is configured and has no upstream.
    """
    route = resolve(name, directory)
    new = _leader(resolve(target, directory), target)
    provider = new.upstream.provider
    before = route.candidates[0] if route.candidates else None
    listing = await asker.models(provider, check_key=True)
    if entries := read_listing(provider.kind, listing.entries):
        directory = directory.with_discovered({provider.name: entries})
    ability = directory.abilities.of(provider, new.upstream.model)
    old = None if before is None else before.upstream.ability
    steps = [
        *steps_of(provider, listing)[:3],
        _listed(new.upstream.model, listing.models),
        _capabilities(route, ability),
        _context(ability, old),
        _price(route, ability, old),
    ]
    if call:
        said = await asker.chat(new)
        words = "it answers" if said.problem is None else mask_of(provider).text(str(said.problem))
        steps.append(Step("call", ok=said.problem is None, detail=f"{words} ({said.latency_s:.1f} s)"))
    return Rehearsal(all(one.ok is not False for one in steps), _id(before), new.upstream.id, tuple(steps))


def _leader(route: Route, target: str) -> Candidate:
    if not route.candidates:
        why = "; ".join(dict.fromkeys(one.reason for one in route.rejected)) or "it leads nowhere"
        raise Invalid(f"{quoted(target[:200])} has no upstream: {why}", param="to")
    return route.candidates[0]


def _id(candidate: Candidate | None) -> str:
    return "" if candidate is None else candidate.upstream.id


def _listed(model: str, listed: Sequence[str]) -> Step:
    if not listed:
        return Step("listed", ok=None, detail="there is no list to look it up in")
    found = is_listed(model, listed)
    words = "the provider lists it" if found else f"it is not in the provider's list{nearest(model, listed)}"
    return Step("listed", ok=found, detail=words)


def _capabilities(route: Route, ability: Ability) -> Step:
    wanted = frozenset(route.needs)
    if lacking := sorted(wanted & ability.lacks):
        return Step("capabilities", ok=False, detail=f"{route.name} needs {', '.join(lacking)}, which it lacks")
    if unknown := sorted(wanted - ability.has):
        return Step("capabilities", ok=None, detail=f"it is not known whether it has {', '.join(unknown)}")
    return Step("capabilities", ok=True, detail=f"it has {', '.join(sorted(wanted))}" if wanted else "none is needed")


def _context(ability: Ability, old: Ability | None) -> Step:
    now, before = ability.context_tokens, None if old is None else old.context_tokens
    if now is None:
        return Step("context", ok=None, detail="its context length is not known")
    words = f"{now:,} tokens" + (f" in place of {before:,}" if before is not None and before != now else "")
    return Step("context", ok=None if before is not None and now < before else True, detail=words)


def _price(route: Route, ability: Ability, old: Ability | None) -> Step:
    now, before = _rates(ability), None if old is None else _rates(old)
    if now is None:
        return Step("price", ok=None, detail="its price is not known")
    words = _said(now) + (f" in place of {_said(before)}" if before is not None and before != now else "")
    words += (" (USD per million tokens)" if any(now) else "") + (_share(ability, old) if before != now else "")
    dearest = route.max_price
    if dearest is not None and ability.price is not None and not ability.free and ability.price.blended > dearest:
        limit = f"{exact_usd(dearest)} USD"
        return Step("price", ok=False, detail=f"{words}; above the max_price of {route.name}, {limit}")
    return Step("price", ok=True, detail=words)


def _rates(ability: Ability) -> tuple[int, int] | None:
    if ability.free:
        return 0, 0
    return None if ability.price is None else (ability.price.input, ability.price.output)


def _share(ability: Ability, old: Ability | None) -> str:
    """Return how much dearer or cheaper it is, at a usual ratio of input and output."""
    if old is None or old.price is None or ability.price is None or old.free or ability.free or not old.price.blended:
        return ""
    return f", {100 * (ability.price.blended - old.price.blended) // old.price.blended:+d}%"


def _said(rates: tuple[int, int]) -> str:
    read, write = rates
    return f"{exact_usd(read)} in, {exact_usd(write)} out" if read or write else "free"
