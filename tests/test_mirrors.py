"""Every module has its tests: in its mirror, or in the file that is named here."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.test_imports import MODULES, ROOT

# Modules that are tested from somewhere else than their mirror, and where.
ELSEWHERE: dict[str, str] = {
    "gateway": "cli/test_commands.py",
    "gateway.__main__": "cli/test_run.py",
    "gateway.app": "web/test_health.py",
    "gateway.background.asking": "background/test_bills.py",
    "gateway.catalog": "catalog/test_abilities.py",
    "gateway.catalog.closed": "catalog/test_abilities.py",
    "gateway.catalog.families": "catalog/test_abilities.py",
    "gateway.catalog.open_weights": "catalog/test_abilities.py",
    "gateway.catalog.shape": "catalog/test_abilities.py",
    "gateway.cli": "cli/test_commands.py",
    "gateway.cli.again": "cli/test_reload.py",
    "gateway.cli.alias": "cli/test_changes.py",
    "gateway.cli.banner": "cli/test_run.py",
    "gateway.cli.bills": "cli/test_usage.py",
    "gateway.cli.check": "cli/test_commands.py",
    "gateway.cli.desk": "cli/test_changes.py",
    "gateway.cli.providers": "cli/test_changes.py",
    "gateway.cli.configuration": "cli/test_commands.py",
    "gateway.cli.ledger": "cli/test_usage.py",
    "gateway.cli.listening": "cli/test_run.py",
    "gateway.cli.parameters": "cli/test_commands.py",
    "gateway.cli.running": "cli/test_reload.py",
    "gateway.cli.schema": "cli/test_commands.py",
    "gateway.control.snippets": "cli/test_connect.py",
    "gateway.cli.startup": "cli/test_state.py",
    "gateway.cli.status": "cli/test_reload.py",
    "gateway.cli.terminal": "cli/test_state.py",
    "gateway.cli.test": "cli/test_online.py",
    "gateway.cli.workers": "cli/test_run.py",
    "gateway.config": "config/test_loading.py",
    "gateway.config.abilities": "config/test_providers.py",
    "gateway.config.blanks": "config/test_any_file.py",
    "gateway.config.clients": "config/test_overlay.py",
    "gateway.config.imports": "config/imports/test_formats.py",
    "gateway.config.imports.agent": "config/imports/test_formats.py",
    "gateway.config.imports.dotenv": "config/imports/test_formats.py",
    "gateway.config.imports.draft": "config/imports/test_formats.py",
    "gateway.config.imports.foreign": "config/imports/test_formats.py",
    "gateway.config.imports.litellm": "config/imports/test_formats.py",
    "gateway.config.imports.litellm_words": "config/imports/test_formats.py",
    "gateway.config.imports.router": "config/imports/test_formats.py",
    "gateway.config.imports.tables": "config/imports/test_formats.py",
    "gateway.config.money": "config/test_loading.py",
    "gateway.config.notations": "config/test_any_file.py",
    "gateway.config.resolve": "config/test_loading.py",
    "gateway.config.settings": "config/test_loading.py",
    "gateway.config.shape.defaults": "config/test_shape.py",
    "gateway.config.shape.experiments": "config/test_shape.py",
    "gateway.config.shape.file": "config/test_shape.py",
    "gateway.config.shape.names": "config/test_shape.py",
    "gateway.config.shape.prices": "config/test_shape.py",
    "gateway.config.shape.providers": "config/test_shape.py",
    "gateway.config.shape.rules": "config/test_shape.py",
    "gateway.config.shape.server": "config/test_shape.py",
    "gateway.config.shape.spending": "config/test_shape.py",
    "gateway.config.shape.strict": "config/test_shape.py",
    "gateway.config.shape.upkeep": "config/test_shape.py",
    "gateway.config.tolerance": "config/test_any_file.py",
    "gateway.config.validation": "config/test_shape.py",
    "gateway.control.choice": "web/admin/test_front_ends.py",
    "gateway.control.experiments": "cli/test_experiments.py",
    "gateway.control.export": "control/test_desk.py",
    "gateway.control.ground": "control/test_desk.py",
    "gateway.control.keys": "cli/test_keys.py",
    "gateway.control.providers": "web/admin/test_providers.py",
    "gateway.control.trial": "web/admin/test_providers.py",
    "gateway.control.refusals": "control/test_desk.py",
    "gateway.core.account": "web/test_explain.py",
    "gateway.core.declared": "core/test_names.py",
    "gateway.core.refusals": "core/test_outcome.py",
    "gateway.dialects.beyond": "web/test_choices.py",
    "gateway.dialects.chat.answering": "dialects/test_bridged.py",
    "gateway.dialects.chat.asking": "dialects/test_bridged.py",
    "gateway.dialects.chat.thoughts": "dialects/test_bridged.py",
    "gateway.dialects.choices": "dialects/test_judge.py",
    "gateway.dialects.completions": "dialects/test_judge.py",
    "gateway.dialects.counted": "dialects/test_usage.py",
    "gateway.dialects.deltas": "dialects/test_bridged.py",
    "gateway.dialects.dialect": "dialects/test_bridged.py",
    "gateway.dialects.faults": "dialects/test_judge.py",
    "gateway.dialects.fields": "dialects/test_body.py",
    "gateway.dialects.inflate": "web/test_coded_bodies.py",
    "gateway.dialects.messages": "dialects/messages/test_row.py",
    "gateway.dialects.messages.blocks": "dialects/messages/test_asking.py",
    "gateway.dialects.messages.refusing": "dialects/test_refusals.py",
    "gateway.dialects.phases": "dialects/test_judge.py",
    "gateway.dialects.plain": "dialects/test_judge.py",
    "gateway.dialects.prompt": "web/test_choices.py",
    "gateway.dialects.responses": "dialects/test_judge.py",
    "gateway.dialects.responses.envelope": "dialects/responses/test_encoding.py",
    "gateway.dialects.responses.items": "dialects/responses/test_encoding.py",
    "gateway.dialects.responses.parts": "dialects/responses/test_asking.py",
    "gateway.dialects.responses.reading": "dialects/test_judge.py",
    "gateway.kinds.kind": "test_kinds.py",
    "gateway.kinds.rows": "test_kinds.py",
    "gateway.metrics.counts": "test_metrics.py",
    "gateway.metrics.families": "test_metrics.py",
    "gateway.proxy.made": "web/test_responses.py",
    "gateway.proxy.origins": "web/test_responses.py",
    "gateway.proxy.answer": "proxy/test_failover.py",
    "gateway.proxy.clock": "proxy/test_timers.py",
    "gateway.proxy.corrections": "proxy/test_masking.py",
    "gateway.proxy.course": "proxy/test_crossing.py",
    "gateway.proxy.downstream": "proxy/test_hang_up.py",
    "gateway.proxy.entry": "proxy/test_books.py",
    "gateway.proxy.flight": "proxy/test_failover.py",
    "gateway.proxy.gateway": "proxy/test_exchange.py",
    "gateway.proxy.notices": "proxy/test_fallback_reason.py",
    "gateway.proxy.passed": "proxy/test_money.py",
    "gateway.proxy.relay": "proxy/test_truncation.py",
    "gateway.proxy.replies": "proxy/test_exchange.py",
    "gateway.proxy.request": "proxy/test_passthrough.py",
    "gateway.proxy.verdicts": "proxy/test_judgement.py",
    "gateway.proxy.within": "web/test_counting.py",
    "gateway.server": "server/test_requests.py",
    "gateway.server.cycle": "server/test_requests.py",
    "gateway.server.head": "server/test_heads.py",
    "gateway.server.protocol": "server/test_requests.py",
    "gateway.stores.journal_intake": "stores/test_importer.py",
    "gateway.stores.journal_segments": "stores/test_journal.py",
    "gateway.stores.keys_postgres": "stores/test_keys.py",
    "gateway.stores.keys_seen": "stores/test_keyring.py",
    "gateway.stores.limits": "stores/test_shared.py",
    "gateway.stores.redis_scripts": "stores/test_redis.py",
    "gateway.stores.redis_tally": "stores/test_redis.py",
    "gateway.stores.tagged": "stores/test_store.py",
    "gateway.stores.rows": "stores/test_store.py",
    "gateway.types.experiments": "core/test_arms.py",
    "gateway.types": "core/test_plan.py",
    "gateway.types.abilities": "core/test_abilities.py",
    "gateway.types.calls": "dialects/test_body.py",
    "gateway.types.keys": "core/test_keys.py",
    "gateway.types.money": "core/test_pricing.py",
    "gateway.types.outcomes": "core/test_outcome.py",
    "gateway.types.params": "core/test_params.py",
    "gateway.types.providers": "core/test_deadlines.py",
    "gateway.types.routing": "core/test_plan.py",
    "gateway.types.settlements": "test_metrics.py",
    "gateway.upstream.kept": "web/test_responses.py",
    "gateway.upstream.demo": "cli/test_trial.py",
    "gateway.upstream.sign_in": "cli/test_login.py",
    "gateway.web.admin.accounts": "web/admin/test_table.py",
    "gateway.web.admin.api": "web/admin/test_table.py",
    "gateway.web.admin.clients": "web/admin/test_table.py",
    "gateway.web.admin.configured": "web/admin/test_life.py",
    "gateway.web.admin.control": "web/admin/test_life.py",
    "gateway.web.admin.keys": "web/admin/test_life.py",
    "gateway.web.admin.calls": "web/admin/test_life.py",
    "gateway.web.admin.models": "web/admin/test_life.py",
    "gateway.web.admin.observed": "web/admin/test_life.py",
    "gateway.web.admin.openapi": "web/admin/test_table.py",
    "gateway.web.ledger": "web/test_outcomes.py",
    "gateway.web.admin.experiments": "cli/test_experiments.py",
    "gateway.web.admin.overlay": "web/admin/test_life.py",
    "gateway.web.admin.reading": "web/admin/test_table.py",
    "gateway.web.admin.shapes": "web/admin/test_table.py",
    "gateway.web.admin.standing": "web/admin/test_life.py",
    "gateway.web.admin.switching": "web/admin/test_life.py",
    "gateway.web.answers": "web/test_bad_input.py",
    "gateway.web.charset": "web/test_bad_input.py",
    "gateway.web.here": "web/test_door.py",
    "gateway.web.openai": "web/test_bad_input.py",
    "gateway.web.reading": "web/test_bad_input.py",
    "gateway.web.routes": "web/test_paths.py",
}

# What is reached by starting a process, which no import shows.
STARTED = {"tests.cli.command": "gateway.__main__"}


def has_code(module: str) -> bool:
    """Tell whether there is anything to test: most packages are a docstring."""
    return len(ast.parse(MODULES[module].read_text(encoding="utf-8")).body) > 1


def mirror_of(module: str) -> Path:
    """Return where the tests of a module are expected."""
    *rooms, name = module.split(".")[1:] or ["gateway"]
    return ROOT.joinpath("tests", *rooms, f"test_{name}.py")


def file_of(module: str) -> Path | None:
    """Return the file of a module of ours, or None."""
    stem = ROOT.joinpath(*module.split("."))
    return next((file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()), None)


@cache
def named_in(file: Path) -> frozenset[str]:
    """Return the modules of ours that a file imports, also for type checking only, and those that it starts."""
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            names.update(one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            names.add(origin)
            names.update(f"{origin}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "gateway." in node.value:
            names.add(node.value)  # `gateway.cli`'s commands are named, and imported when they are asked for
    if module in STARTED:
        names.add(STARTED[module])
    return frozenset(name for name in names if name.split(".")[0] in ("gateway", "tests") and file_of(name))


def reached_from(file: Path) -> set[str]:
    """Return the modules that come with a file of tests: those it names, those they name, and so on."""
    found: set[str] = set()
    left = [file]
    while left:
        for name in named_in(left.pop()) - found:
            found.add(name)
            there = file_of(name)
            assert there is not None
            left.append(there)
    return found


@pytest.mark.parametrize("module", [module for module in MODULES if has_code(module)])
def test_a_module_has_its_mirror_or_a_file_that_drives_it(module: str) -> None:
    """A file that does not reach the module, by whatever way, cannot test it."""
    mirror = mirror_of(module)
    assert (module in ELSEWHERE) != mirror.is_file(), (
        f"{module} has its tests in {mirror.relative_to(ROOT)}, or is named in {Path(__file__).name} with another file"
    )
    if module in ELSEWHERE:
        there = ROOT / "tests" / ELSEWHERE[module]
        assert there.is_file(), f"{ELSEWHERE[module]} is not there"
        assert module in reached_from(there), f"{ELSEWHERE[module]} does not reach {module}"


def test_no_module_is_named_that_is_not_there() -> None:
    gone = ELSEWHERE.keys() - MODULES.keys()
    assert not gone, f"{', '.join(sorted(gone))}: named in {Path(__file__).name} and not there"
