"""The Dockerfile builds, and what it builds runs as nobody in particular, with nothing to write to but /data.

No registry of images is asked: the base is a stand-in made of this machine's own Python and libraries, mounted
read-only. Everything above the base is real.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.deploy.installed import installed
from tests.deploy.observed import ROOT
from tests.faults.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "localhost/stand-in-for-python"
IMAGE = "localhost/gateway-under-test"
PYTHON = Path(sys.base_prefix)
MACHINE = [f"--volume={directory}:{directory}:ro" for directory in dict.fromkeys(("/usr", "/etc/ssl", str(PYTHON)))]


@dataclass(frozen=True, slots=True)
class Builder:
    """Debian's buildah: it needs no engine, and its storage is a directory of ours."""

    binary: str
    storage: Path

    def __call__(self, command: str, *args: str) -> str:
        storage = ("--storage-driver=vfs", f"--root={self.storage / 'root'}", f"--runroot={self.storage / 'run'}")
        done = subprocess.run(
            (self.binary, *storage, command, *args), capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, f"buildah {command} {' '.join(args)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()

    def make_base(self, root: Path) -> None:
        """Make the stand-in: the directories of this machine's `/`, empty, for the mounts to fill."""
        for name in ("bin", "lib", "lib64", "sbin"):
            if Path(f"/{name}").is_symlink():
                (root / name).symlink_to(f"usr/{name}")
        for name in ("usr", "etc/ssl", "tmp", "proc", "dev", "sys", str(PYTHON).lstrip("/")):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        if (settings := Path("/etc/pip.conf")).exists():
            (root / "etc/pip.conf").write_text(settings.read_text())
        container = self("from", "scratch")
        self("add", container, str(root), "/")
        self("config", f"--env=PATH={PYTHON}/bin:/usr/bin:/bin", container)
        self("commit", container, BASE)

    def build(self) -> None:
        self(
            "bud",
            "--isolation=chroot",
            "--pull-never",
            "--format=docker",
            f"--build-arg=PYTHON_IMAGE={BASE}",
            *(f"--env={name}" for name in os.environ if name.startswith("PIP_")),
            *MACHINE,
            f"--tag={IMAGE}",
            ".",
        )

    def shell(self, script: str, **env: str) -> str:
        """Run a script in a new container of the image, as the image's user."""
        container = self("from", "--pull-never", IMAGE)
        variables = [f"--env={name}={value}" for name, value in env.items()]
        return self("run", "--isolation=chroot", *MACHINE, *variables, container, "--", "/bin/sh", "-c", script)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """The image, built, and what built it."""
    binary = installed("buildah", package="buildah")
    if os.geteuid() != 0:
        pytest.skip("buildah's chroot isolation needs root")
    builder = Builder(binary, tmp_path_factory.mktemp("buildah"))
    try:
        builder.make_base(tmp_path_factory.mktemp("base"))
        builder.build()
        yield builder
    finally:
        builder("rm", "--all")
        builder("rmi", "--all", "--force")


def test_the_image_says_how_to_run_it(image: Builder) -> None:
    config: dict[str, Any] = json.loads(image("inspect", "--type=image", IMAGE))["Docker"]["config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["gateway"]
    assert config["Cmd"] == ["run", "--host", "0.0.0.0"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "gateway", "healthcheck"]
    assert list(config["ExposedPorts"]) == ["8400/tcp"]
    assert list(config["Volumes"]) == ["/data"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_only_data_is_writable(image: Builder) -> None:
    script = "for place in /data /etc/gateway /opt/gateway /; do test -w $place && echo $place; done; id -u"
    assert image.shell(script).split() == ["/data", "10001"]


def test_it_holds_what_is_locked_and_nothing_else(image: Builder) -> None:
    listing = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    locked = set(re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / "requirements-team.lock").read_text(), re.MULTILINE))
    found = {normal(each) for each in image.shell(f'/opt/gateway/bin/python -c "{listing}"').split()}
    assert {each for each in found if not each.startswith("llm-gateway==")} == {normal(each) for each in locked}
    assert len(found) == len(locked) + 1


def test_it_can_talk_to_postgresql_and_redis(image: Builder) -> None:
    script = "import psycopg.pq, redis.asyncio; print(psycopg.pq.__impl__)"
    assert image.shell(f'/opt/gateway/bin/python -c "{script}"') == "binary", "it brings its own libpq"


def test_without_a_key_it_refuses_to_listen_to_everybody(image: Builder) -> None:
    said = image.shell("gateway run --host 0.0.0.0 2>&1; echo ended with $?", GATEWAY_PORT=str(free_port()))
    assert "GATEWAY_API_KEY" in said
    assert not said.endswith("ended with 0")


def test_it_gets_healthy_and_ends_when_told(image: Builder) -> None:
    """The server and the health check are the image's own; so is the state directory."""
    said = image.shell(
        """
        gateway run --host 0.0.0.0 & server=$!
        for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
            gateway healthcheck && echo healthy && break
            sleep 0.3
        done
        kill -TERM $server
        wait $server
        echo ended with $?
        ls /data
        """,
        GATEWAY_PORT=str(free_port()),
        GATEWAY_API_KEY="only-for-this-test",
    )
    lines = said.splitlines()
    assert "healthy" in lines
    # 143 is how a shell reports an end by SIGTERM.
    assert {"ended with 0", "ended with 143"} & set(lines)
    assert {"ledger.sqlite", "journal", "gateway.lock"} <= set(lines), "the ledger is on the volume"


def normal(requirement: str) -> str:
    """Return `name==version` as the lock file spells it."""
    name, _, version = requirement.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"
