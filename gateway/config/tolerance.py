"""Decide how to treat mistakes in the overlay. The gateway wrote that file itself, perhaps for another configuration,
so an entry that is wrong here must not keep the gateway from starting.

* An unknown name (its provider is not configured here, its alias is gone) has no upstream: the alias or role exists,
  and says why it cannot be answered.
* Any other wrong entry is ignored, and `gateway.yaml` counts.
* Mistakes in the sections that guard money and access (`server`, `budgets`, `ledger`, `stores`) are never ignored: a
  limit that is silently gone is worse than no start. Nor is a file that is not YAML: it may contain such sections.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.config import overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.config.settings import Config
    from gateway.config.source import Mark, Path, Source

    Check = Callable[[Source, Callable[[Path], bool]], "Checked"]

_GUARDS = frozenset({"server", "budgets", "ledger", "stores"})


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake and its place."""

    where: Path
    file: str
    mark: Mark
    message: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration, which is valid only without problems."""

    config: Config
    problems: Sequence[Mistake]
    excused: Sequence[Mistake] = ()
    """Unknown names that were tolerated."""


def line(path: str, mark: Mark, message: str) -> str:
    """Return a mistake as one line: `file:line:column: message`."""
    return f"{path}: {message}" if mark == (0, 0) else f"{path}:{mark[0]}:{mark[1]}: {message}"


def with_overlay(base: Source, over: Source, file: str, check: Check) -> tuple[Checked, list[str]]:
    """Check two files together, without the ignored entries of the second one; return the result and a warning each.

    The result's `problems` are the mistakes that cannot be ignored.
    """
    if not isinstance(over.value, dict):
        checked = check(overlay.merged(base, over, file), _nowhere)
        return Checked(checked.config, [*checked.problems, *(Mistake((), file, *one) for one in over.problems)]), []
    over.value = deepcopy(over.value)
    warned: list[Mistake] = []
    strict: list[Mistake] = []
    # Objections of the YAML reader: a variable that is not set, a key that is given twice.
    unread = [Mistake(_path_at(over, mark), file, mark, message) for mark, message in over.problems]
    over.problems.clear()
    warned += _drop(over, unread)
    strict += [one for one in unread if not one.where or one.where[0] in _GUARDS]

    def tolerates(where: Path) -> bool:
        """Tell whether an entry is only in the overlay. If `gateway.yaml` has it too, that one replaces a wrong one."""
        return both.file(where, "") == file and not _has(base.value, where[:2])

    while True:
        both = overlay.merged(base, over, file)
        checked = check(both, tolerates)
        ours = [one for one in checked.problems if one.file == file]
        if dropped := _drop(over, ours):
            warned += dropped
            continue
        theirs = [one for one in checked.problems if one.file != file]
        if not theirs or len(theirs) <= len(check(base, _nowhere).problems):
            break
        if (blamed := _to_blame(base, over, file, check, tolerates, len(theirs))) is None:
            break
        warned.append(Mistake(blamed, file, over.key_marks.get(blamed, (1, 1)), f"it is needed: {theirs[0].message}"))
    passed = [f"{_said(one)}; the entry is ignored{_remedy(one, file)}" for one in _once(warned)]
    nobody = [f"{_said(one)}; the name has no upstream{_remedy(one, file)}" for one in _once(checked.excused)]
    return Checked(checked.config, [*checked.problems, *strict]), [*passed, *nobody]


def _nowhere(_: Path) -> bool:
    return False


def _once(mistakes: Iterable[Mistake]) -> list[Mistake]:
    return sorted(dict.fromkeys(mistakes), key=lambda one: one.mark)


def _said(mistake: Mistake) -> str:
    return line(mistake.file, mistake.mark, mistake.message)


def _remedy(mistake: Mistake, file: str) -> str:
    alias = mistake.where[1] if len(mistake.where) > 1 and mistake.where[0] == "models" else None
    return f". Fix it, or remove it: gateway models demote {alias}" if alias else f". Fix it in {file}"


def _has(value: Any, path: Path) -> bool:
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _drop(over: Source, mistakes: Iterable[Mistake]) -> list[Mistake]:
    """Remove the entries with mistakes, except in guarding sections, and return one mistake of each entry."""
    found: dict[Path, list[Mistake]] = {}
    for one in mistakes:
        if one.where and one.where[0] in over.value and one.where[0] not in _GUARDS:
            found.setdefault(one.where[:2], []).append(one)
    # The last first, because removing an item of a list moves those after it; whole sections after their parts.
    for section, *rest in sorted(found, key=lambda path: (len(path), path[1:] and str(path[1]).zfill(9)), reverse=True):
        held = over.value.get(section)
        if isinstance(held, dict) and rest:
            held.pop(rest[0], None)
        elif isinstance(held, list) and rest and isinstance(rest[0], int):
            del held[rest[0]]
            _shift(over, str(section), rest[0])
        else:
            over.value.pop(section, None)
    # One mistake of an entry is enough: the others may only follow from it.
    return [ones[0] for ones in found.values()]


def _shift(over: Source, section: str, gone: int) -> None:
    """Move the marks of a list's items after one item is gone."""

    def moved(path: Path) -> Path | None:
        if path[:1] != (section,) or len(path) < 2 or not isinstance(path[1], int) or path[1] < gone:
            return path
        return None if path[1] == gone else (section, path[1] - 1, *path[2:])

    for marks in (over.marks, over.key_marks):
        after = {new: mark for path, mark in marks.items() if (new := moved(path)) is not None}
        marks.clear()
        marks.update(after)


def _path_at(over: Source, mark: Mark) -> Path:
    """Return the path of the value at a mark, or of the last one before it."""
    marks = [(there, path) for known in (over.key_marks, over.marks) for path, there in known.items() if there <= mark]
    return max(marks, key=lambda one: (one[0], len(one[1])))[1] if marks else ()


def _to_blame(
    base: Source, over: Source, file: str, check: Check, tolerates: Callable[[Path], bool], problems: int
) -> Path | None:
    """Remove the entry that causes a mistake elsewhere, and return its path; None if no single entry does.

    For example, an overlay that removes an alias breaks the roles that name it.
    """
    for section, held in list(over.value.items()):
        if section in _GUARDS or not isinstance(held, dict):
            continue
        for name, value in list(held.items()):
            del held[name]
            if len(check(overlay.merged(base, over, file), tolerates).problems) < problems:
                return (section, name)
            held[name] = value
    return None
