"""The unit for systemd: valid, and in step with how the gateway stops."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from entrypoints.settings import Settings
from tests.docs.fenced import ROOT

UNIT = ROOT / "infra" / "systemd" / "neuronetz-gateway.service"


def service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment]  # the way configparser is told to keep the case
    parser.read(UNIT)
    return parser["Service"]


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not on this machine, and nothing else can read its units")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/neuronetz/bin/neuronetz-gateway", "/bin/true"))
    found = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False)

    assert (found.returncode, found.stderr) == (0, "")


def test_systemd_waits_longer_than_the_gateway_drains() -> None:
    assert int(service()["TimeoutStopSec"]) > Settings().drain_timeout_s + 10


def test_a_reload_is_a_rolling_restart_and_a_stop_is_told_to_the_parent_alone() -> None:
    assert service()["ExecReload"].endswith("kill -HUP $MAINPID")
    assert service()["KillMode"] == "mixed"
    assert service()["ExecStart"].endswith("serve --processes 2")
