"""What a shell is given at a Tab."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from domain.faults import FaultCode, StoreUnavailable
from entrypoints.cli.root import cli
from tests.entrypoints.cli.conftest import Desk
from tests.entrypoints.cli.test_command_line import PROGRAM
from tests.entrypoints.cli.test_policies_and_usage import key_of


def offered(desk: Desk, *words: str) -> list[str]:
    *before, incomplete = words
    completer = ShellComplete(cli, {"obj": desk.session}, "neuronetz-gateway", "_X")
    return [item.value for item in completer.get_completions(before, incomplete)]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_says_how_to_install_it(desk: Desk, shell: str) -> None:
    script = desk("completion", shell).stdout

    assert f"# To install it: neuronetz-gateway completion {shell} > ~/" in script
    assert "_NEURONETZ_GATEWAY_COMPLETE" in script


def test_bash_takes_the_script_and_completes_with_it(tmp_path: Path, desk: Desk) -> None:
    script = tmp_path / "script"
    script.write_text(desk("completion", "bash").stdout, encoding="utf-8")
    program = tmp_path / "neuronetz-gateway"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    typed = (
        "COMP_WORDS=(neuronetz-gateway doc); COMP_CWORD=1; _neuronetz_gateway_completion neuronetz-gateway;"
        " echo ${COMPREPLY[@]}"
    )

    told = subprocess.run(
        ["bash", "-c", f". {script}; {typed}"],  # noqa: S607  whichever bash there is
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.stdout.split() == ["doctor"], told.stderr


def test_tenants_and_their_keys_are_offered(acme: Desk) -> None:
    acme("create-tenant", "--name", "other")
    prefix = key_of(acme)

    assert offered(acme, "audit", "--tenant", "a") == ["acme"]
    assert offered(acme, "usage", "--tenant", "") == ["acme", "other"]
    assert offered(acme, "usage", "--tenant", "acme", "--key", "nz_") == [prefix]
    assert offered(acme, "usage", "--tenant", "other", "--key", "nz_") == []
    assert offered(acme, "show-tenant", "--tenant", "o") == ["other"]
    assert offered(acme, "revoke-key", "--prefix", "") == [prefix]
    assert offered(acme, "set-prompt-logging", "--key", "") == [prefix]
    assert offered(acme, "prompts", "list", "--tenant", "acme", "--key", "") == [prefix]


@pytest.mark.parametrize("name", ["$(id)", "a b", "`id`", "a;b", "-x", "a'b"])
def test_what_a_shell_would_run_is_not_offered(acme: Desk, name: str) -> None:
    acme("create-tenant", "--name", name) if not name.startswith("-") else acme("create-tenant", f"--name={name}")

    assert offered(acme, "usage", "--tenant", "") == ["acme"]


def test_a_database_that_is_away_or_slow_offers_nothing_and_says_nothing(
    acme: Desk, capfd: pytest.CaptureFixture[str]
) -> None:
    acme.store_fault = StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, "PostgreSQL cannot answer.")
    away = offered(acme, "usage", "--tenant", "")
    acme.store_fault, acme.slow_s = None, 30.0
    began_s = time.monotonic()
    slow = offered(acme, "usage", "--tenant", "")

    assert (away, slow) == ([], [])
    assert time.monotonic() - began_s < 10
    assert capfd.readouterr() == ("", "")
