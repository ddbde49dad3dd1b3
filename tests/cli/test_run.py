"""`gateway run` always ends in a working endpoint, or says why not and starts nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import command, environment, gateway, serving
from tests.faults import FaultyUpstream, Pause, chat, chat_json, chat_stream, free_port, refuse_port
from tests.faults.client import Client
from tests.upstream.test_detect import OLLAMA_ROOT, OLLAMA_VERSION, TAGS, answer, pages
from tests.upstream.test_detect import serving as listening

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Running

KEY = "client-key-0123456789abcdef"


async def ask(running: Running, model: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Return the status and the content of one chat."""
    async with Client(running.port) as client:
        await client.send(chat("Hi", model=model, headers=headers or {}))
        response = await client.response()
        return response.status, response.json["choices"][0]["message"]["content"] if response.status == 200 else ""


async def pasted(running: Running, **env: str) -> str:
    """Do what the banner says: run its curl in a shell. Return what it prints."""
    found = re.search(r"  (curl http.*?)\n\n", running.banner + "\n\n", re.DOTALL)
    assert found
    process = await asyncio.create_subprocess_shell(
        found[1].replace("curl ", "curl -sS -m 10 "), stdout=asyncio.subprocess.PIPE, env={**os.environ, **env}
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_with_nothing_at_hand(tmp_path: Path) -> None:
    """Alone, without a file, a key or a model, it serves; what the banner says to paste gets an answer."""
    async with serving(cwd=tmp_path) as running:
        assert "none: using what was found" in running.banner
        assert f"http://127.0.0.1:{running.port}/v1" in running.banner
        assert '"choices"' in await pasted(running)
        assert await running.end() == 0
        assert running.err == []


async def test_keys_in_the_environment(tmp_path: Path) -> None:
    """Keys are named by their variable, and their values are nowhere."""
    env = {"GROQ_API_KEY": "gsk_very_secret", "OPENROUTER_API_KEY": "sk-or-very-secret"}
    async with serving("run", cwd=tmp_path, env=env) as running:
        assert "key from GROQ_API_KEY" in running.banner
        assert "key from OPENROUTER_API_KEY" in running.banner
        assert re.search(
            r"main, .* -> groq/\S+, then openrouter/.*the strongest found, perhaps on a free", running.banner
        )
        assert "`gateway switch role:main PROVIDER/MODEL`" in running.banner
        assert "secret" not in running.banner + "".join(running.err)


async def test_a_file_in_the_directory_is_used(tmp_path: Path) -> None:
    """A bare `gateway` reads ./gateway.yaml; the roles lead where it says."""
    async with FaultyUpstream(chat_json("from the file")) as upstream:
        (tmp_path / "gateway.yaml").write_text(
            f"providers: {{a: {{base_url: '{upstream.base_url}'}}}}\nroles: {{planner: a/m}}\n"
        )
        async with serving(cwd=tmp_path) as running:
            assert await ask(running, "role:planner") == (200, "from the file")
            assert "configuration  gateway.yaml" in running.banner
            assert f"http://127.0.0.1:{running.port}/console" in running.banner
            assert re.search(r"roles +planner  -> a/m\n", running.banner)
            assert "from the file" in await pasted(running)


async def test_a_server_that_the_file_does_not_name(tmp_path: Path) -> None:
    """The banner mentions it with the entry that is missing; naming it, even to switch it off, ends that."""
    ollama = pages(__=OLLAMA_ROOT, __api__version=OLLAMA_VERSION, __api__tags=answer(TAGS))
    async with FaultyUpstream(chat_json("Hi")) as upstream, listening(ollama) as port:
        entry = f'ollama: {{kind: ollama, base_url: "http://127.0.0.1:{port}/v1"}}'
        env = {"OLLAMA_HOST": f"127.0.0.1:{port}"}
        file = tmp_path / "gateway.yaml"
        file.write_text(f"providers:\n  a: {{base_url: '{upstream.base_url}'}}\n")
        async with serving(cwd=tmp_path, env=env) as running:
            found = next(line for line in running.banner.splitlines() if "also found" in line)
            assert f"Ollama at http://127.0.0.1:{port}/v1 (1 model), not in gateway.yaml" in found
            assert found.endswith(f"under providers: {entry}")
        file.write_text(file.read_text() + f"  {entry}\n")  # as the banner says
        async with serving(cwd=tmp_path, env=env) as running:
            assert "also found" not in running.banner
            assert re.search(rf"ollama +http://127.0.0.1:{port}/v1", running.banner)
        file.write_text(file.read_text().replace("ollama, ", "ollama, enabled: false, "))
        async with serving(cwd=tmp_path, env=env) as running:
            assert "also found" not in running.banner


async def test_a_file_without_a_usable_provider(tmp_path: Path) -> None:
    """It says what is missing, and the demo answers."""
    (tmp_path / "gateway.yaml").write_text(
        "providers: {openai: {api_key: '${OPENAI_API_KEY:-}'}}\nroles: {r: openai/x}"
    )
    async with serving(cwd=tmp_path) as running:
        assert "no provider in gateway.yaml is usable yet, so only demo/echo answers" in running.banner
        assert "not used: openai (no key; set OPENAI_API_KEY)" in running.banner
        assert "built into the gateway" in await pasted(running)


async def test_local_servers_that_do_not_answer(tmp_path: Path) -> None:
    """A provider on this machine that is not running is seen at once, and the curl does not go there."""
    with refuse_port() as port:
        (tmp_path / "gateway.yaml").write_text(
            f"providers: {{local: {{kind: llamacpp, base_url: 'http://127.0.0.1:{port}/v1'}}}}\n"
            "roles: {main: local/m}\n"
        )
        async with serving(cwd=tmp_path) as running:
            assert re.search(r"local  http://127.0.0.1:\d+/v1  does not answer", running.banner)
            assert "no provider answers at the moment" in running.banner
            assert '"choices"' in await pasted(running)


async def test_clients_need_the_key(tmp_path: Path) -> None:
    """With a key it may listen beyond loopback; the curl sends it, from the variable."""
    env = {"GATEWAY_API_KEY": KEY}
    async with serving("run", "--host", "0.0.0.0", cwd=tmp_path, env=env) as running:
        assert "(listening on 0.0.0.0, clients need a key)" in running.banner
        assert "Authorization: Bearer $GATEWAY_API_KEY" in running.banner
        assert KEY not in running.banner
        assert '"choices"' in await pasted(running, GATEWAY_API_KEY=KEY)
        assert "invalid_api_key" in await pasted(running, GATEWAY_API_KEY="wrong")
        assert (
            await asyncio.to_thread(gateway, "healthcheck", cwd=tmp_path, env={"GATEWAY_PORT": str(running.port)})
        ).status == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_strangers_are_kept_out(tmp_path: Path, host: str) -> None:
    """Beyond loopback without a key it refuses to start, and says what to do."""
    done = gateway("run", "--host", host, "--port", str(free_port()), cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert f"refusing to listen on {host} without a key" in done.err
    assert "GATEWAY_API_KEY" in done.err
    assert "--host 127.0.0.1" in done.err
    assert "Traceback" not in done.err


async def test_options_win(tmp_path: Path) -> None:
    """--host and --port are over the environment, which is over the file; what the file risked is not warned of."""
    (tmp_path / "gateway.yaml").write_text("server: {host: 0.0.0.0, port: 1}\nproviders: {}\n")
    args = ("--host", "127.0.0.1", "--port", "0")
    async with serving(*args, cwd=tmp_path, env={"GATEWAY_PORT": "2"}) as running:
        assert "without api_keys" not in running.banner


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for workers in ("1", "2"):
            done = gateway("run", "--port", str(port), "--workers", workers, cwd=tmp_path)
            assert (done.status, done.out) == (1, "")
            assert done.err == f"port {port} is in use; choose another with --port {port % 65535 + 1}\n"


def test_an_address_of_somebody_else(tmp_path: Path) -> None:
    done = gateway("run", "--host", "192.0.2.1", cwd=tmp_path, env={"GATEWAY_API_KEY": KEY})
    assert done.status == 1
    assert done.err.startswith("192.0.2.1 is not an address of this machine")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_when_calls_are_finished(tmp_path: Path, sent: signal.Signals) -> None:
    """A signal ends it with status 0, after the streams under way; nobody new is let in meanwhile."""
    async with FaultyUpstream() as upstream:
        (tmp_path / "gateway.yaml").write_text(f"providers: {{a: {{base_url: '{upstream.base_url}', models: [m]}}}}")
        async with serving(cwd=tmp_path) as running:
            whole = chat_stream("Hel", "lo")
            upstream.always((*whole[:2], Pause(1.0), *whole[2:]))
            async with Client(running.port) as client:
                await client.send(chat("Hi", model="a/m", stream=True))
                response = await client.head()
                running.process.send_signal(sent)
                await asyncio.sleep(0.3)
                with pytest.raises(OSError):
                    await running.get("/readyz")
                while await client.chunk(response):
                    pass
                assert response.events[-1] == b"[DONE]"
            assert await running.end() == 0


async def test_the_start_is_quick_and_light(tmp_path: Path) -> None:
    """Neither rich nor httpx is imported to serve, and pydantic only to read a file."""
    code = "import sys; import gateway.app, gateway.cli, gateway.cli.startup, gateway.cli.banner; print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=tmp_path, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert not {"rich", "httpx", "pydantic", "yaml"} & set(out.decode().split())


async def test_workers(tmp_path: Path) -> None:
    """Several processes serve one address; one that dies is replaced, and a signal ends them all."""
    async with serving("--workers", "2", cwd=tmp_path) as running:
        assert "(2 workers)" in running.banner
        workers = await children(running.process.pid, 2)
        assert {await running.get("/readyz") for _ in range(20)} == {200}
        os.kill(workers[0], signal.SIGKILL)
        assert {await running.get("/readyz") for _ in range(20)} == {200}
        assert workers[1] in await children(running.process.pid, 2)
        assert any(f"worker {workers[0]} was ended by SIGKILL; starting another" in line for line in running.err)
        assert await running.end() == 0
    assert not any(alive(pid) for pid in workers)


async def test_workers_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    """However the supervisor ends, the port is free soon after."""
    async with serving("--workers", "2", cwd=tmp_path) as running:
        workers = await children(running.process.pid, 2)
        running.process.kill()
        async with asyncio.timeout(10):
            while any(alive(pid) for pid in workers):  # noqa: ASYNC110  # other processes, which can only be asked
                await asyncio.sleep(0.05)


async def test_workers_that_cannot_live(tmp_path: Path) -> None:
    """They are not started for ever."""
    async with serving("--workers", "2", cwd=tmp_path) as running:
        async with asyncio.timeout(30):
            while running.process.returncode is None:
                for pid in await children(running.process.pid, 1, within_s=0):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.02)
        assert running.process.returncode == 1
    assert "giving up" in running.err[-1]


async def children(pid: int, number: int, within_s: float = 10) -> list[int]:
    """Return the processes that a process has started, once there are so many."""
    until = asyncio.get_running_loop().time() + within_s
    while True:
        process = await asyncio.create_subprocess_exec("pgrep", "-P", str(pid), stdout=asyncio.subprocess.PIPE)
        found = [int(line) for line in (await process.communicate())[0].split()]
        if len(found) >= number or asyncio.get_running_loop().time() > until:
            return found
        await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_not_started_by_a_broken_configuration(tmp_path: Path) -> None:
    """All mistakes are listed, and the port stays closed."""
    (tmp_path / "gateway.yaml").write_text("sevrer: {}\nroles: {main: nobody}\n")
    done = gateway("run", "--port", str(free_port()), cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 3
    assert "Traceback" not in done.err


def test_colours_only_where_a_person_is_looking(tmp_path: Path) -> None:
    """On a terminal the table has a frame and colours; with NO_COLOR, or in a pipe, it has neither."""
    (tmp_path / "gateway.yaml").write_text("providers: {a: {base_url: 'http://127.0.0.1:9/v1', models: ['m[bold]']}}")
    shown = {}
    for name, env in (("colour", {}), ("plain", {"NO_COLOR": "1"})):
        parent, child = pty.openpty()
        with subprocess.Popen(
            command("models"),
            cwd=tmp_path,
            env=environment({"TERM": "xterm-256color", "COLUMNS": "120", **env}),
            stdout=child,
        ):
            pass
        os.close(child)
        text = b""
        try:
            while piece := os.read(parent, 65536):
                text += piece
        except OSError:  # Linux: the other end is closed
            pass
        os.close(parent)
        shown[name] = text.decode()
    assert "\x1b[" in shown["colour"]
    assert "─" in shown["colour"]
    assert "m[bold]" in shown["colour"]
    assert "\x1b[" not in shown["plain"]
    assert "─" not in shown["plain"]
