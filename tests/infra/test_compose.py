"""The compose files: valid by the specification's schema, and careful in what they open.

`compose-spec.json` is the Compose Specification's own schema, Apache-2.0, from compose-go 2.16.2.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import redis
import yaml
from redis.backoff import NoBackoff
from redis.retry import Retry

from entrypoints.embedded.binaries import find_valkey
from entrypoints.settings import Settings
from tests.e2e.programs import eventually, free_port
from tests.infra.front import CADDYFILE
from tests.infra.rendered import Missing, compose, yaml_files
from tests.infra.settings_named import settings_named
from tests.infra.tools import INFRA, tool

FILES = ["docker-compose.yml", "docker-compose.dev.yml"]
GIVEN = {
    "POSTGRES_PASSWORD": "made-up-1",
    "VALKEY_PASSWORD": "made-up-2",
    "KEY_PEPPER": "made-up-3-that-is-long-enough-for-a-pepper",
    "SITE_ADDRESS": "llm.example.com",
    "TLS_ISSUER": "internal",
}
REAL = compose("docker-compose.yml", GIVEN)
SERVICES: Mapping[str, dict[str, Any]] = REAL["services"]
SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def networks_of(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", ["default"]))


@pytest.mark.parametrize("name", FILES)
def test_a_compose_file_is_what_the_specification_allows(name: str) -> None:
    jsonschema.validate(yaml.safe_load((INFRA / name).read_text()), SCHEMA)
    jsonschema.validate(compose(name, GIVEN), SCHEMA)


def test_yaml_is_tidy() -> None:
    rules = (
        "{extends: default, rules: {line-length: {max: 130}, document-start: disable, comments-indentation: disable}}"
    )
    files = [str(path) for path in yaml_files()]
    yamllint = tool("yamllint", package="yamllint from PyPI")
    done = subprocess.run(
        [yamllint, "-s", "-d", rules, *files], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("name", FILES)
def test_the_gateway_accepts_the_settings_it_is_given(name: str) -> None:
    environ = compose(name, GIVEN)["services"]["gateway"]["environment"]

    assert set(environ) <= settings_named()
    Settings.from_environment(environ).need("DATABASE_URL", "REDIS_URL", "KEY_PEPPER", "OLLAMA_BACKENDS")


def test_prompts_can_be_logged_by_setting_their_key() -> None:
    secret = {"PROMPT_LOG_KEY": "made-up-4-that-is-long-enough-for-a-prompt-log"}
    without, given = (
        Settings.from_environment(compose("docker-compose.yml", GIVEN | more)["services"]["gateway"]["environment"])
        for more in ({}, secret)
    )

    assert without.prompt_log_key == ()
    assert given.need_prompt_log_keys() == (secret["PROMPT_LOG_KEY"].encode(),)


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_what_has_no_safe_default_must_be_set_and_the_complaint_says_how(name: str) -> None:
    with pytest.raises(Missing, match=rf"{name}: (set|make) .+"):
        compose("docker-compose.yml", {key: value for key, value in GIVEN.items() if key != name})


def test_only_tls_is_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"caddy": ["80:80", "443:443", "443:443/udp"]}


def test_for_development_everything_is_published_on_loopback_alone() -> None:
    services = compose("docker-compose.dev.yml", {})["services"].values()

    assert all(port.startswith("127.0.0.1:") for service in services for port in service.get("ports", []))


def test_secrets_for_development_say_that_they_are() -> None:
    gateway = compose("docker-compose.dev.yml", {})["services"]["gateway"]["environment"]

    assert "for-development-only" in gateway["KEY_PEPPER"]
    assert "for-development-only" in gateway["DATABASE_URL"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_can_change_nothing_and_become_nothing_else(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
    assert not service.get("privileged")


def test_only_the_gateway_reaches_ollama_and_the_stores() -> None:
    for hidden in ("ollama", "postgres", "valkey"):
        (network,) = networks_of(hidden)
        beside = {name for name in SERVICES if network in networks_of(name)} - {"ollama", "postgres", "valkey"}
        assert beside == {"gateway"}
        assert REAL["networks"][network]["internal"] is True
    assert networks_of("ollama").isdisjoint(networks_of("postgres"))


def test_only_caddy_and_what_fetches_models_have_a_way_out() -> None:
    outward = {name for name, network in REAL["networks"].items() if not (network or {}).get("internal")}

    assert {name for name in SERVICES if networks_of(name) & outward} == {"caddy", "pull"}


def test_the_gateway_believes_caddys_address_and_no_other() -> None:
    address = SERVICES["caddy"]["networks"]["front"]["ipv4_address"]
    (subnet,) = REAL["networks"]["front"]["ipam"]["config"]

    assert SERVICES["gateway"]["environment"]["TRUSTED_PROXIES"] == f"{address}/32"
    assert ipaddress.ip_address(address) in ipaddress.ip_network(subnet["subnet"])


def test_caddy_is_given_what_its_file_asks_for() -> None:
    asked = set(re.findall(r"\{\$(\w+)\}", CADDYFILE.read_text()))

    assert asked
    assert asked <= set(SERVICES["caddy"]["environment"])


def test_caddy_and_the_gateway_agree_on_the_largest_body() -> None:
    assert {SERVICES[name]["environment"]["MAX_BODY_BYTES"] for name in ("caddy", "gateway")} == {
        str(Settings().max_body_bytes)
    }
    assert set(re.findall(r"\{\$MAX_BODY_BYTES:(\d+)\}", CADDYFILE.read_text())) == {str(Settings().max_body_bytes)}


def test_calls_are_settled_before_docker_kills() -> None:
    gateway = SERVICES["gateway"]

    assert seconds(gateway["stop_grace_period"]) >= int(gateway["environment"]["DRAIN_TIMEOUT_S"]) + 20


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_serves_is_watched_started_again_and_bounded(name: str) -> None:
    service = SERVICES[name]
    if name == "pull":
        return
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"]["max-size"]
    # The gateway's check is its image's; Ollama's memory is its models'.
    assert "healthcheck" in service or name in ("gateway", "prometheus")
    assert "mem_limit" in service or name == "ollama"


def test_every_named_file_and_volume_is_there() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in REAL["volumes"] or (INFRA / source).is_file(), source


def test_valkey_takes_its_password_by_standard_input_and_forgets_nothing(tmp_path: Path) -> None:
    service = SERVICES["valkey"]
    shell, option, script = service["command"]
    port = free_port()
    script = script.replace("dir /data", f"dir {tmp_path}\nport {port}\nbind 127.0.0.1")
    folder = find_valkey(os.environ).parent
    environ = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **service["environment"]}
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen([shell, option, script], env=environ, stdout=log, stderr=log, cwd=tmp_path)
    try:
        once = Retry(NoBackoff(), 0)
        with redis.Redis(port=port, password=GIVEN["VALKEY_PASSWORD"], decode_responses=True, retry=once) as client:
            for _ in eventually(10):
                try:
                    client.ping()
                except redis.ConnectionError:
                    continue
                break
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert GIVEN["VALKEY_PASSWORD"].encode() not in Path(f"/proc/{child.pid}/cmdline").read_bytes()
    finally:
        child.terminate()
        child.wait(10)
