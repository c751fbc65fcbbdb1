"""What deploy/ ships fits the product: commands exist, ports and paths are those of the site file it carries."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from dgm import config
from dgm.app import ROLES
from dgm.cli.main import BAD_INPUT, app
from dgm.supervisor import STOP_ORDER, STOP_TIMEOUT_S

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
EXAMPLE = DEPLOY / "site.example.yaml"
STOP_S = STOP_TIMEOUT_S * len(STOP_ORDER)
"""The longest that `dgm run` may take to stop its roles one after the other."""


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def pods() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.parent.name}/{document['metadata']['name']}", document["spec"]["template"]["spec"])
        for path in sorted((DEPLOY / "k3s").glob("*/statefulset*.yaml"))
        for document in documents(path)
    ]


def workloads() -> list[tuple[str, dict[str, Any]]]:
    return [(name, container) for name, pod in pods() for container in pod["containers"]]


@pytest.mark.parametrize(("name", "container"), workloads())
def test_a_container_runs_a_command_that_exists_on_the_mounted_site_file(name: str, container: dict[str, Any]) -> None:
    command, *rest = container["args"]
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert command in commands
    assert rest[-1] == "/site/site.yaml"
    assert command == "run" or rest[0] in ROLES
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    site = config.parse(EXAMPLE.read_text(encoding="utf-8")).site
    assert {"/site/site.yaml", f"/site/{site.state_dir}", f"/site/{site.run_dir}"} <= mounts


@pytest.mark.parametrize(("name", "container"), workloads())
def test_a_liveness_probe_asks_the_metrics_port_of_its_role(name: str, container: dict[str, Any]) -> None:
    api = config.parse(EXAMPLE.read_text(encoding="utf-8")).api
    role = container["args"][1] if container["args"][0] == "serve" else "ems"
    assert container["livenessProbe"]["httpGet"]["port"] == getattr(api, f"metrics_port_{role}")
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize(("name", "pod"), pods())
def test_a_pod_without_privileges_can_write_its_volumes_and_has_time_to_stop(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    # A directory of the node belongs to root, and fsGroup does not change that.
    assert not any("hostPath" in volume for volume in pod["volumes"])
    assert {mount["name"] for item in pod["containers"] for mount in item["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert pod["terminationGracePeriodSeconds"] > STOP_S


def test_the_pods_of_the_roles_meet_in_one_run_directory_on_a_claim_that_exists() -> None:
    run = f"/site/{config.parse(EXAMPLE.read_text(encoding='utf-8')).site.run_dir}"
    found = set()
    for _, pod in (entry for entry in pods() if entry[0].startswith("pod-per-role/")):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mount = next(mount for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"] == run)
        found.add((volumes[mount["name"]]["persistentVolumeClaim"]["claimName"], mount["subPath"]))
    claim = documents(DEPLOY / "k3s" / "base" / "storage.yaml")[0]["metadata"]["name"]
    assert found == {(claim, "run")}


def test_the_systemd_unit_runs_a_command_that_exists_and_knows_its_exit_codes() -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read_string((DEPLOY / "systemd" / "dgm.service").read_text(encoding="utf-8"))
    service = unit["Service"]
    _, command, site = service["ExecStart"].split()
    assert command in get_command(app).commands  # type: ignore[attr-defined]
    assert site == f"/var/lib/{service['StateDirectory']}/site.yaml"
    assert int(service["RestartPreventExitStatus"]) == BAD_INPUT
    assert int(service["TimeoutStopSec"]) > STOP_S


def test_the_site_file_of_the_manifests_is_the_annotated_example() -> None:
    assert (DEPLOY / "k3s" / "base" / "site.yaml").read_bytes() == EXAMPLE.read_bytes()


def test_every_kustomization_names_files_that_are_there() -> None:
    checked = 0
    for path in (DEPLOY / "k3s").glob("*/kustomization.yaml"):
        for resource in documents(path)[0]["resources"]:
            assert (path.parent / resource).exists(), f"{path}: {resource}"
            checked += 1
    assert checked >= 4


def test_the_compose_file_runs_the_image_that_the_dockerfile_builds() -> None:
    service = documents(DEPLOY / "compose.yaml")[0]["services"]["dgm"]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert service["command"] == ["run", "/site/site.yaml"]
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_S
    assert 'ENTRYPOINT ["dgm"]' in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
