"""`gateway test`: ask each provider directly for its list of models, one chat and one stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import configuration, terminal
from gateway.cli.terminal import Mistake, bad, bold, count, dim, good, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.cli.trial import Line, Subject, Trial
    from gateway.config import Config
    from gateway.core.names import Directory


@click.command()
@click.argument("name", required=False)
@configuration.config_option
@click.option("--kind", help="Test a provider of this kind without a configuration; its key is in the environment.")
@click.option("--base-url", help="With --kind: its base URL, if it is not the usual one.")
@click.option("--endpoint-id", help="With --kind runpod: the endpoint. Default: $RUNPOD_ENDPOINT_ID.")
@click.option("--model", help="With --kind: the model to chat with.")
@click.option("--verbose", is_flag=True, help="Also show the key (masked), the models' names, and what was answered.")
@terminal.json_option
@click.pass_context
def test(
    ctx: click.Context, /, name: str | None, path: Path | None, *, verbose: bool, as_json: bool, **described: str | None
) -> None:
    """Test all providers, or only those that NAME leads to.

    Each provider is asked for its models, one short chat and one short stream. No running gateway is needed.
    """
    import asyncio

    from gateway.cli.trial import try_out

    config = _of_one(name, path, **described) if any(described.values()) else configuration.read(path)
    subjects, passed_over = _subjects(name, config.directory, as_json=as_json)
    trials = asyncio.run(try_out(subjects, tell=(lambda _: None) if as_json else _show_all if verbose else _show))
    failed = sum(1 for trial in trials if not trial.passed)
    passed = sum(1 for trial in trials if trial.passed and trial.asked)
    passed_over += [(trial.name, "there was nothing to ask it") for trial in trials if not trial.asked]
    if as_json:
        terminal.print_json({
            "passed": passed,
            "failed": failed,
            "skipped": [{"upstream": one, "reason": reason} for one, reason in passed_over],
            "tests": [trial.as_json() for trial in trials],
        })  # fmt: skip
    else:
        for one, reason in passed_over:
            click.echo(f"{one}: {dim('skipped')}, {reason}")
        click.echo(("\n" if passed_over else "") + f"{passed} passed, {failed} failed" + _skipped(len(passed_over)))
    ctx.exit(1 if failed else 0)


def _of_one(
    name: str | None, path: Path | None, *, kind: str | None, base_url: str | None, endpoint_id: str | None,
    model: str | None,
) -> Config:  # fmt: skip
    """Return a configuration with the one provider that the options describe."""
    from gateway.config import edits
    from gateway.config.loading import Ground, resolved
    from gateway.errors import ConfigError
    from gateway.kinds import kind_named

    if not kind or name or path:
        raise click.UsageError(
            "--base-url, --endpoint-id and --model belong to --kind, which takes no NAME or --config"
        )
    environ = configuration.environment(Path())
    wanted = {"base_url": base_url, "endpoint_id": endpoint_id, "models": [model] if model else None}
    for setting, variables in kind_named(kind).settings_vars.items():
        said = next((f"${{{one}}}" for one in variables if environ.get(one)), None)
        if setting == "model_override":
            wanted["models"] = wanted["models"] or ([said] if said else None)
        elif setting in ("base_url", "endpoint_id") and not (base_url or endpoint_id):
            wanted[setting] = wanted[setting] or said
    # Named outright, because the usual variable alone is not sent to an address on this machine.
    key = next((f"${{{one}}}" for one in kind_named(kind).key_vars if environ.get(one)), None)
    # `discover`: RunPod is asked for its list too, because a person wants to know.
    entry = {
        "kind": kind,
        "api_key": key,
        "discover": True,
        **{setting: value for setting, value in wanted.items() if value},
    }
    if key is None:
        del entry["api_key"]
    try:
        config = resolved(Ground("command line", edits.yaml_of({"providers": {kind: entry}}), environ), None)
    except ConfigError as error:
        raise configuration.BrokenConfiguration("command line", error.problems) from None
    if reason := config.directory.providers[kind].unusable:
        raise Mistake(f"{kind}: {reason}")
    return config


def _subjects(name: str | None, directory: Directory, *, as_json: bool) -> tuple[list[Subject], list[tuple[str, str]]]:
    from gateway.cli.explain import resolved
    from gateway.cli.trial import subjects_of_providers, subjects_of_route

    if name is None:
        subjects = subjects_of_providers(directory)
        return subjects, [(one.name, one.unusable) for one in directory.providers.values() if one.unusable]
    route = resolved(name, directory, as_json=as_json)
    passed_over = [(one.upstream_id, one.reason) for one in route.rejected]
    if not route.candidates:
        reasons = "; ".join(f"{one}: {reason}" for one, reason in passed_over)
        raise Mistake(f'"{name}" has no usable upstream ({reasons or "it names none"})')
    return subjects_of_route(route), passed_over


def _skipped(number: int) -> str:
    return f", {count(number, 'skipped', 'skipped')}" if number else ""


def _show_all(trial: Trial) -> None:
    _show(trial, trial.details)


def _show(trial: Trial, details: Sequence[tuple[str, str]] = ()) -> None:
    click.echo(f"{bold(trial.name)}  {dim(place(trial.subject.provider.base_url))}")
    said = ""
    for line in trial.lines:
        click.echo(f"  {line.what:<8}{_word(line)}  {'the same' if line.detail == said else line.detail}")
        said = line.detail
    for what, text in details:
        click.echo(f"  {what:<8}{dim(text)}")
    click.echo()


def _word(line: Line) -> str:
    return {True: good("ok    "), False: bad("FAILED"), None: dim("-     ")}[line.ok]
