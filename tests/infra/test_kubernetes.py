"""The manifests as kustomize renders them: valid by Kubernetes' own schemas, and closed where they must be."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrypoints.settings import Settings, SettingsError
from tests.infra.rendered import kustomization
from tests.infra.settings_named import settings_named
from tests.infra.tools import INFRA, tool

KUBERNETES = INFRA / "kubernetes"
FOLDERS = ["base", "overlays/example"]
GATEWAY = {"app.kubernetes.io/name": "neuronetz-gateway", "app.kubernetes.io/component": "gateway"}

Rendered = dict[str, Sequence[dict[str, Any]]]


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    return {folder: kustomization(folder) for folder in FOLDERS}


def of(objects: Sequence[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = [one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    return found


def pods(objects: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (one["spec"]["template"]["spec"] for one in objects if "template" in one.get("spec", {}))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_what_kubernetes_takes(rendered: Rendered, folder: str, tmp_path: Path) -> None:
    known = [one for one in rendered[folder] if not one["apiVersion"].startswith("monitoring.coreos.com/")]
    file = tmp_path / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(known))
    validate = tool("kubernetes-validate", package="kubernetes-validate from PyPI")
    done = subprocess.run([validate, "--strict", file], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARN" not in done.stdout + done.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_secret_is_applied(rendered: Rendered, folder: str) -> None:
    assert "Secret" not in {one["kind"] for one in rendered[folder]}


def test_the_gateway_refuses_every_value_of_the_template() -> None:
    values = yaml.safe_load((KUBERNETES / "base/secret.example.yaml").read_text())["stringData"]
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(values)

    assert {problem.split()[0] for problem in refused.value.problems} == set(values)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_gateway_accepts_its_settings(rendered: Rendered, folder: str) -> None:
    settings = of(rendered[folder], "ConfigMap")["data"]

    assert set(settings) <= settings_named()
    Settings.from_environment(settings)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_container_is_nobody_and_can_change_nothing(rendered: Rendered, folder: str) -> None:
    for pod in pods(rendered[folder]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert not container["image"].endswith(":latest")


@pytest.mark.parametrize("folder", FOLDERS)
def test_calls_are_settled_before_the_pod_is_killed(rendered: Rendered, folder: str) -> None:
    pod = of(rendered[folder], "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    drain_s = int(of(rendered[folder], "ConfigMap")["data"]["DRAIN_TIMEOUT_S"])

    pause_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= pause_s + drain_s + 20


def test_liveness_asks_the_process_alone_and_readiness_its_parts(rendered: Rendered) -> None:
    (container,) = of(rendered["base"], "Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}

    assert asked == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_a_rollout_takes_no_pod_away_before_its_successor_is_ready(rendered: Rendered) -> None:
    deployment = of(rendered["base"], "Deployment")["spec"]

    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert deployment["replicas"] > of(rendered["base"], "PodDisruptionBudget")["spec"]["maxUnavailable"]
    assert deployment["selector"]["matchLabels"] == GATEWAY


def test_the_service_offers_the_gateways_port_and_not_the_metrics(rendered: Rendered) -> None:
    service = of(rendered["base"], "Service")["spec"]

    assert [port["targetPort"] for port in service["ports"]] == ["http"]
    assert service["selector"] == GATEWAY
    assert service.get("type", "ClusterIP") == "ClusterIP"


@pytest.mark.parametrize("folder", FOLDERS)
def test_everything_is_closed_that_no_policy_opens(rendered: Rendered, folder: str) -> None:
    closed = of(rendered[folder], "NetworkPolicy", "closed")["spec"]

    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_the_gateway_reaches_ollama(rendered: Rendered, folder: str) -> None:
    about_ollama = [
        policy["spec"]
        for policy in rendered[folder]
        if policy["kind"] == "NetworkPolicy"
        and policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name") == "ollama"
    ]
    doors = [door for policy in about_ollama for door in policy.get("ingress", [])]

    assert doors == [{"from": [{"podSelector": {"matchLabels": GATEWAY}}], "ports": [{"port": 11434}]}]


def test_ollama_has_a_way_out_only_while_it_may_fetch(rendered: Rendered) -> None:
    policies = [one["spec"] for one in rendered["overlays/example"] if one["kind"] == "NetworkPolicy"]
    ways_out = [
        policy["podSelector"]["matchLabels"]
        for policy in policies
        if policy.get("egress") and policy["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "ollama"
    ]

    assert ways_out == [{"app.kubernetes.io/name": "ollama", "neuronetz-gateway/may-fetch": "true"}]


@pytest.mark.parametrize(("port", "role"), [("http", "ingress"), ("metrics", "monitoring")])
def test_each_port_of_the_gateway_is_open_to_one_role(rendered: Rendered, port: str, role: str) -> None:
    doors = [
        door
        for policy in rendered["base"]
        if policy["kind"] == "NetworkPolicy" and policy["spec"]["podSelector"].get("matchLabels") == GATEWAY
        for door in policy["spec"].get("ingress", [])
        if {"port": port} in door["ports"]
    ]

    assert [door["from"] for door in doors] == [
        [{"namespaceSelector": {"matchLabels": {f"neuronetz-gateway/{role}": "true"}}}]
    ]


def test_the_example_uses_another_registry_for_all_that_is_ours(rendered: Rendered) -> None:
    images = {container["image"] for pod in pods(rendered["overlays/example"]) for container in pod["containers"]}

    assert {image for image in images if "neuronetz" in image} == {"registry.example.com/neuronetz-gateway:0.1.0"}
