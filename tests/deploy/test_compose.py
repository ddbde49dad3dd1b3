"""The Compose file is valid, names only what exists, and agrees with the Dockerfile and the Prometheus files."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from gateway.config.money import ledger_settings
from tests.deploy.observed import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
GATEWAY = SERVICES["gateway"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_it_follows_the_compose_specification() -> None:
    command = (
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
    )
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_mounted_file_exists() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0] if isinstance(volume, str) else volume["source"]
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name} mounts {source}"


@pytest.mark.parametrize("file", ["docker-compose.yml", "gateway.yaml"])
def test_every_variable_is_in_the_example(file: str) -> None:
    example = re.findall(r"^#?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    for name in re.findall(r"\$\{(\w+)", (ROOT / file).read_text()):
        assert name in example, f"{file} asks for {name}"


def test_the_port_outside_does_not_change_the_one_inside() -> None:
    """`env_file` would hand GATEWAY_PORT to the gateway too; `environment` outweighs it."""
    (exposed,) = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert GATEWAY["ports"] == [f"127.0.0.1:${{GATEWAY_PORT:-{exposed}}}:{exposed}"]
    assert GATEWAY["environment"]["GATEWAY_PORT"] == exposed


def test_the_example_holds_no_secret() -> None:
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, _, value = line.partition("=")
        assert line.startswith("#") or not value, name


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_to_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "build" not in service])
def test_images_are_pinned(name: str) -> None:
    # PostgreSQL's versions have two numbers.
    assert re.fullmatch(r"[\w./-]+:v?\d+(\.\d+){1,2}", SERVICES[name]["image"])


def test_the_gateway_may_write_only_where_it_must() -> None:
    assert GATEWAY["read_only"] is True
    assert GATEWAY["cap_drop"] == ["ALL"]
    assert GATEWAY["security_opt"] == ["no-new-privileges:true"]
    writable = [each for each in GATEWAY["volumes"] if isinstance(each, str) or not each["read_only"]]
    assert writable == ["gateway-data:/data"]
    assert "GATEWAY_STATE_DIR=/data" in DOCKERFILE
    assert 'VOLUME ["/data"]' in DOCKERFILE


def test_prometheus_scrapes_the_port_of_the_image() -> None:
    (exposed,) = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    (job,) = yaml.safe_load((ROOT / "grafana/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"gateway:{exposed}"]}]


def test_what_a_service_waits_for_has_a_health_check() -> None:
    assert "HEALTHCHECK" in DOCKERFILE, "the gateway's is in its image"
    for name, service in SERVICES.items():
        for awaited, condition in service.get("depends_on", {}).items():
            # Of a profile that is not started, nobody can wait for anything.
            always = set(SERVICES[awaited].get("profiles", ())) <= set(service.get("profiles", ()))
            expected: dict[str, Any] = {"condition": "service_healthy"} | ({} if always else {"required": False})
            assert condition == expected, name
            assert "healthcheck" in SERVICES[awaited], f"{name} waits for {awaited}"


def test_the_team_has_a_database_and_a_redis_and_nobody_else_does() -> None:
    assert {name for name, service in SERVICES.items() if "team" in service.get("profiles", ())} == {
        "postgres",
        "redis",
    }
    alone = gateway_environment()
    assert alone["GATEWAY_DATABASE_URL"] == alone["GATEWAY_REDIS_URL"] == ""
    problems: list[str] = []
    settings = ledger_settings(
        gateway_environment(POSTGRES_PASSWORD="first", REDIS_PASSWORD="second"),
        lambda where, problem: problems.append(f"{where}: {problem}"),
    )
    assert not problems
    database, redis = urlsplit(settings.database_url), urlsplit(settings.redis_url)
    postgres = SERVICES["postgres"]["environment"]
    assert (database.hostname, database.password) == ("postgres", "first")
    assert (database.username, database.path) == (postgres["POSTGRES_USER"], f"/{postgres['POSTGRES_DB']}")
    assert (redis.hostname, redis.password, redis.path) == ("redis", "second", "/0")


def test_a_database_of_ones_own_goes_before_the_team_s() -> None:
    own = {"GATEWAY_DATABASE_URL": "postgresql://db.example/gateway", "GATEWAY_REDIS_URL": "rediss://cache.example"}
    found = gateway_environment(POSTGRES_PASSWORD="first", REDIS_PASSWORD="second", **own)
    assert {name: found[name] for name in own} == own


def test_redis_throws_no_budget_away() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--requirepass") + 1] == "${REDIS_PASSWORD:-}"


@pytest.mark.parametrize("name", SERVICES)
def test_passwords_come_from_the_environment(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|AUTH|KEY", variable):
            assert value.startswith("${"), variable


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    provisioning = ROOT / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"].startswith("http://prometheus:")
    assert "prometheus" in SERVICES
    (dashboards,) = yaml.safe_load((provisioning / "dashboards/gateway.yml").read_text())["providers"]
    assert f"./grafana/dashboards:{dashboards['options']['path']}:ro" in SERVICES["grafana"]["volumes"]


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source in allowed, f".dockerignore keeps {source} out"


def gateway_environment(**env: str) -> dict[str, str]:
    """Return what the gateway's container gets. Compose puts variables in as a shell does."""
    written: dict[str, str] = GATEWAY["environment"]
    return {name: filled_in(value, {"GATEWAY_API_KEY": "unused", **env}) for name, value in written.items()}


def filled_in(value: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        ("/bin/sh", "-c", f'printf %s "{value}"'), env=env, capture_output=True, text=True, check=True
    )
    return done.stdout
