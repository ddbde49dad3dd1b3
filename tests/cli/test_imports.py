"""`gateway import` as a user runs it: written, checked, explained, and never over an existing file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.command import gateway
from tests.config.imports import files

if TYPE_CHECKING:
    from pathlib import Path


def test_import_check_and_explain(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(files.TOML)
    done = gateway("import", "config.toml", cwd=tmp_path)
    assert (done.status, "gateway.yaml: OK, 3 providers (1 usable), 2 roles" in done.out) == (0, True)
    assert 'config.toml:2: "providers.anthropic.api_key"' in done.err
    assert "rpm: 50" in (tmp_path / "gateway.yaml").read_text()
    explained = gateway("explain", "role:reasoning", cwd=tmp_path, env={"ANTHROPIC_API_KEY": "sk-ant-1234567890"})
    assert "anthropic/claude-opus-4" in explained.out

    again = gateway("import", "config.toml", cwd=tmp_path)
    assert (again.status, "gateway.yaml exists" in again.err) == (2, True)
    assert gateway("import", "config.toml", "--force", cwd=tmp_path).status == 0


def test_a_file_that_works_is_not_replaced_by_one_that_does_not(tmp_path: Path) -> None:
    """What was imported is checked first; with mistakes, it stands beside the old file."""
    (tmp_path / "gateway.yaml").write_text("roles: {main: demo/echo}\n")
    (tmp_path / "config.yaml").write_text(
        "model_list: [{model_name: a, litellm_params: {model: openai/x, api_base: 'ftp://nowhere', api_key: none}}]"
    )
    done = gateway("import", "config.yaml", "--force", cwd=tmp_path)
    assert (done.status, "gateway.yaml stays as it is" in done.err) == (2, True)
    assert (tmp_path / "gateway.yaml").read_text() == "roles: {main: demo/echo}\n"
    assert "gateway.yaml.new:" in done.err
    assert "ftp://nowhere" in (tmp_path / "gateway.yaml.new").read_text()


def test_environment_elsewhere(tmp_path: Path) -> None:
    """A .env that is not beside the result has to be copied there."""
    (tmp_path / "app.env").write_text(files.DOTENV)
    done = gateway("import", "app.env", "--output", "made.yaml", cwd=tmp_path)
    assert (done.status, "copy app.env to .env" in done.err) == (0, True)


def test_what_cannot_be_imported(tmp_path: Path) -> None:
    assert "missing.yaml: cannot be read" in gateway("import", "missing.yaml", cwd=tmp_path).err
    (tmp_path / "x.yaml").write_text("colour: red")
    done = gateway("import", "x.yaml", cwd=tmp_path)
    assert (done.status, "not a configuration that can be imported" in done.err) == (2, True)
    assert not (tmp_path / "gateway.yaml").exists()
