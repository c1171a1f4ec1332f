"""The wheel as users get it: its command, what it puts into site-packages, and a whole quickstart from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.e2e.programs import free_port

pytestmark = pytest.mark.skipif(
    "NEURONETZ_TEST_WHEEL" not in os.environ, reason="asks the installed wheel: run by `tox -e wheel`"
)
COMMAND = str(Path(sys.executable).parent / "neuronetz-gateway")


def run(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [COMMAND, *arguments], cwd="/", env=environ, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def test_the_wheel_puts_one_name_into_site_packages() -> None:
    files = distribution("neuronetz-gateway").files or []
    tops = {file.parts[0] for file in files if file.parts[0] != ".."}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"neuronetz_gateway"}


def test_the_wheel_holds_scripts_and_migrations() -> None:
    names = {str(file) for file in distribution("neuronetz-gateway").files or []}

    assert any(name.endswith(".lua") for name in names)
    assert any(name.endswith(".sql") for name in names)
    assert any("migrations/versions/0001" in name for name in names)


def test_the_command_says_its_version_and_helps() -> None:
    assert distribution("neuronetz-gateway").version in run("--version").stdout
    assert "create-tenant" in run("--help").stdout


def test_quickstart_once_works_from_the_wheel() -> None:
    folder = Path(tempfile.mkdtemp(prefix="nzwheel-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        done = run("quickstart", "--once", "--state-dir", str(folder / "state"), "--port", str(free_port()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "not a model" in done.stdout
