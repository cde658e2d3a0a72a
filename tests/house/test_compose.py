"""docker-compose.yml says the same as the declarations: services, settings, ports, broker configuration, health.

Only its shape is checked where there is no container engine; that the containers run is then not shown.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from waterline.schemas.settings import Settings
from waterline.stack import jars
from waterline.stack.parts import PARTS

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {part.name: part for part in PARTS if part.name not in ("kafka", "front")}
BROKER = dict(
    line.split("=", 1)
    for line in (ROOT / "waterline/stack/server.properties").read_text().splitlines()
    if line and not line.startswith("#")
)


def test_a_process_is_a_service_and_a_command() -> None:
    assert set(SERVICES) == {"kafka", "clickhouse", "migrate", *OURS}
    for name in ("migrate", *OURS):
        assert SERVICES[name]["command"] == name


def test_services_start_in_the_order_of_the_parts() -> None:
    stage = {name: part.stage for name, part in OURS.items()} | {"kafka": 0, "clickhouse": 0, "migrate": 0.5}
    for name, service in SERVICES.items():
        assert all(stage[before] < stage[name] for before in service.get("depends_on", {}))
    assert SERVICES["migrate"]["depends_on"] == {name: {"condition": "service_healthy"} for name in ("kafka", "clickhouse")}
    for name in OURS:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", ["migrate", *OURS])
def test_every_variable_is_a_setting_with_a_valid_value(name: str) -> None:
    found = SERVICES[name]["environment"]
    fields = {variable.removeprefix("WATERLINE_").lower(): with_defaults(str(value)) for variable, value in found.items()}
    assert set(fields) <= set(Settings.model_fields)
    settings = Settings.model_validate(fields)
    assert settings.partitions == Settings.model_fields["partitions"].default
    assert settings.kafka == SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].removeprefix("PLAINTEXT://")
    assert urlsplit(settings.clickhouse).hostname in SERVICES
    assert settings.clickhouse_user == SERVICES["clickhouse"]["environment"]["CLICKHOUSE_USER"]
    assert found["WATERLINE_CLICKHOUSE_PASSWORD"] == SERVICES["clickhouse"]["environment"]["CLICKHOUSE_PASSWORD"]


def test_health_is_asked_where_the_parts_tell_it() -> None:
    assert all("healthcheck" in service for name, service in SERVICES.items() if name != "migrate")
    for name, part in OURS.items():
        assert part.ready_url(Settings()) in SERVICES[name]["healthcheck"]["test"][-1]


def test_metrics_can_be_scraped_from_another_container_and_not_from_outside() -> None:
    for name, part in OURS.items():
        assert SERVICES[name]["environment"]["WATERLINE_HEALTH_HOST"] == "0.0.0.0"
        port = getattr(Settings(), part.settings[-1])
        assert not [published for published in SERVICES[name].get("ports", []) if published.endswith(f":{port}")]


def test_the_collectors_doors_are_open_on_loopback_only() -> None:
    settings = Settings()
    wanted = [f"127.0.0.1:{port}:{port}" for port in (settings.collector_port, settings.collector_grpc_port)]
    assert SERVICES["collector"]["ports"] == wanted
    assert not [name for name, service in SERVICES.items() if "ports" in service and name != "collector"]


def test_the_broker_is_configured_like_the_local_one() -> None:
    found = SERVICES["kafka"]["environment"]
    for name, value in BROKER.items():
        variable = "KAFKA_" + name.upper().replace(".", "_")
        assert str(found[variable]) == value, variable


def test_versions_are_those_of_the_local_stack() -> None:
    (version,) = {jar.version for jar in jars.read_list() if jar.artifact == "kafka_2.13"}
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version}"
    assert re.fullmatch(r"clickhouse/clickhouse-server:\d+\.\d+", SERVICES["clickhouse"]["image"])


def test_what_must_survive_lies_on_a_volume() -> None:
    named = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert named == set(COMPOSE["volumes"])
    assert {name for name, service in SERVICES.items() if service.get("volumes")} == {
        "kafka",
        "clickhouse",
        "streams",
        "collector",
    }


def test_the_image_holds_the_locked_wheel_and_runs_as_a_user() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes -r requirements.lock" in text
    assert 'ENTRYPOINT ["waterline"]' in text
    assert re.search(r"^USER waterline$", text, re.MULTILINE)


@pytest.mark.skipif("WATERLINE_TEST_DOCKER" not in os.environ, reason="NOT RUN: set WATERLINE_TEST_DOCKER where docker is")
def test_the_containers_become_healthy_together() -> None:
    compose = ["docker", "compose", "--project-name", "waterline-test"]
    try:
        subprocess.run([*compose, "up", "--detach", "--build", "--wait", "--wait-timeout", "300"], cwd=ROOT, check=True)
    finally:
        subprocess.run([*compose, "down", "--volumes"], cwd=ROOT, check=True)


def with_defaults(value: str) -> str:
    """`${NAME:-default}` as compose reads it when NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
