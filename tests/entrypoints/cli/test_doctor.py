"""What `doctor` finds, says and returns."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from adapters.ollama.address import BackendAddress
from domain.keys import Secret
from domain.models import Model, canonical
from domain.ports.model_backend import Survey
from entrypoints.backend_list import BackendSettings
from entrypoints.examine_settings import examine_token
from tests.entrypoints.cli.conftest import PEPPER, Desk


@pytest.fixture
def clinic(desk: Desk) -> Desk:
    """A desk at which all is well."""
    desk.environ |= {
        "REDIS_URL": "redis://u:redispassword@cache/0",
        "AUDIT_SEAL_KEY": "the-seal-key-of-the-tests-0123456789",
    }
    return desk


def ills(desk: Desk) -> dict[str, str]:
    found = desk("doctor", "--json")
    return {one["subject"]: one["level"] for one in json.loads(found.stdout) if one["level"] != "ok"}


def test_all_well_is_status_zero_and_every_point_is_named(clinic: Desk) -> None:
    shown = clinic("doctor")

    assert shown.exit_code == 0
    assert "24 points: 0 problems, 0 warnings." in shown.stdout
    assert {"settings", "postgres.version", "redis.eviction", "backend.default"} <= {
        line.split()[1].rstrip(":") for line in shown.stdout.splitlines() if line.startswith("ok")
    }


def test_a_warning_is_no_failure_and_a_problem_is(clinic: Desk) -> None:
    clinic.databases.books(reaped=3)
    warned = clinic("doctor")
    clinic.databases.ill(writable=False, commits_ms=())
    failed = clinic("doctor")

    assert (warned.exit_code, failed.exit_code) == (0, 1)
    assert "0 problems, 1 warning." in warned.stdout and "1 problem, 1 warning." in failed.stdout
    assert "problem postgres.writable: It is read-only, so every call is refused.\n          -> Let" in failed.stdout


def test_every_wrong_setting_is_told_and_the_rest_is_looked_at_all_the_same(clinic: Desk) -> None:
    clinic.environ |= {"PORT": "x", "QUEUE_DEPTH": "-1", "KEY_PEPPER": "short"}

    found = json.loads(clinic("doctor", "--json").stdout)

    wrong = [one["sentence"].split()[0] for one in found if one["subject"] == "settings"]
    assert sorted(wrong) == ["KEY_PEPPER", "PORT", "QUEUE_DEPTH"]
    assert {"postgres.version", "redis.version", "backend.default"} <= {one["subject"] for one in found}


def test_without_any_setting_it_says_what_is_missing(desk: Desk) -> None:
    desk.environ = {"XDG_STATE_HOME": "/nonexistent"}

    found = json.loads(desk("doctor", "--json").stdout)

    missing = [one["sentence"].split()[0] for one in found if one["subject"] == "settings"]
    assert missing == ["DATABASE_URL", "REDIS_URL", "KEY_PEPPER"]


def test_stores_and_backends_that_are_away_are_each_a_problem(clinic: Desk) -> None:
    clinic.databases.away = "PostgreSQL cannot be asked: connection refused."
    clinic.limiters.away = "Redis cannot be asked: connection refused."
    clinic.down = True

    assert ills(clinic) == {"postgres": "problem", "redis": "problem", "backend.default": "problem"}


def test_no_secret_is_shown(clinic: Desk) -> None:
    clinic.environ |= {
        "OLLAMA_BACKENDS": '[{"name":"gpu1","url":"http://127.0.0.1:1","token":"backendtoken"}]',
        "PROMPT_LOG_KEY": "promptsecret-0123456789abcdef0123456789",
    }
    clinic.databases.books(prompt_log_keys=2)
    clinic.down = True

    for shown in (clinic("doctor"), clinic("doctor", "--json")):
        for secret in ("dbpassword", "redispassword", PEPPER, "backendtoken", "promptsecret"):
            assert secret not in shown.stdout + shown.stderr


def test_kept_prompts_without_a_key_for_them_are_a_problem(clinic: Desk) -> None:
    clinic.databases.books(prompt_log_keys=2)

    assert ills(clinic) == {"prompt_log_key": "problem"}


@pytest.mark.parametrize(
    ("mode", "level", "remedy"),
    [
        (0o600, None, ""),
        (0o604, "problem", "chmod 600"),
        (0o620, "problem", "chmod 600"),
        (0o660, "problem", "chmod 6"),
    ],
)
def test_a_file_of_secrets_is_not_open_to_others(clinic: Desk, mode: int, level: str | None, remedy: str) -> None:
    Path(".env").write_text("PORT=8080\n", encoding="utf-8")
    Path(".env").chmod(mode)

    assert ills(clinic).get("env_file") == level
    assert f"-> {remedy}" in clinic("doctor").stdout or level is None


def test_a_file_of_roots_may_be_read_by_the_group_that_root_gave_it(clinic: Desk) -> None:
    """The systemd unit says so: its account can then read the settings and not change them."""
    Path(".env").write_text("PORT=8080\n", encoding="utf-8")
    Path(".env").chmod(0o640)

    assert ills(clinic).get("env_file") == (None if os.geteuid() == 0 else "problem")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_secrets_that_is_somebody_elses_is_a_warning(clinic: Desk) -> None:
    Path(".env").write_text("PORT=8080\n", encoding="utf-8")
    Path(".env").chmod(0o600)
    os.chown(".env", 12345, 12345)
    theirs = ills(clinic)
    Path(".env").chmod(0o640)

    assert theirs == {"env_file": "warning"}
    assert ills(clinic) == {"env_file": "problem"}


@pytest.mark.parametrize(
    ("version", "level"), [("0.17.0", "problem"), ("0.17.1", None), ("1.0.0-rc1", None), ("0.0.0", None), ("own", None)]
)
def test_an_ollama_that_leaks_is_a_problem(clinic: Desk, version: str, level: str | None) -> None:
    clinic.survey = Survey(version=version, models=[Model(name="m", canonical=canonical("m"))])

    assert ills(clinic).get("backend.default") == level


def test_a_backend_without_models_is_a_warning(clinic: Desk) -> None:
    clinic.survey = Survey(version="0.33.0", models=[])

    assert ills(clinic) == {"backend.default": "warning"}


def test_a_look_that_breaks_hinders_no_other(clinic: Desk) -> None:
    async def broken(_: BackendAddress) -> Survey:
        raise RuntimeError("s3cret")

    clinic.probing = broken
    shown = clinic("doctor")

    assert shown.exit_code == 1
    assert "backend.default: It could not be looked at (RuntimeError)." in shown.stdout
    assert "s3cret" not in shown.stdout
    assert "redis.version" in shown.stdout


@pytest.mark.parametrize(
    ("url", "addresses", "warned"),
    [
        ("http://gpu.example.net", ["198.51.100.7"], False),  # a network for documentation counts as private
        ("http://gpu.example.net", ["8.8.8.8"], True),
        ("http://gpu.example.net", ["10.0.0.5", "8.8.8.8"], True),
        ("http://10.0.0.5:11434", ["10.0.0.5"], False),
        ("http://[::1]:11434", ["::1"], False),
        ("https://gpu.example.net", ["8.8.8.8"], False),
        ("http://gone.example.net", [], False),
    ],
)
def test_a_token_in_the_clear_over_a_public_network_is_warned_of(
    url: str,
    addresses: list[str],
    warned: bool,  # noqa: FBT001  a case
) -> None:
    backend = BackendSettings(name="gpu1", url=url, token=Secret("t"))
    bare = BackendSettings(name="gpu1", url=url)

    assert bool(examine_token(backend, lambda _: addresses)) is warned
    assert examine_token(bare, lambda _: addresses) == []


def test_the_disk_of_a_quickstart_is_looked_at(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state" / "neuronetz-gateway"
    state.mkdir(parents=True)
    (state / "gateway.env").write_text("DATABASE_URL=postgresql://quick/start\n", encoding="utf-8")
    desk.environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    found = json.loads(desk("doctor", "--json").stdout)

    (disk,) = [one for one in found if one["subject"] == "disk"]
    assert f"GiB are free at {state}." in disk["sentence"]
