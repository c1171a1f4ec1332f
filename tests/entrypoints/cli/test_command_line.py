"""The program itself: sources of settings, exit statuses, what is never shown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from entrypoints.cli.root import cli
from entrypoints.state_file import STATE_FILE
from tests.entrypoints.cli.conftest import PEPPER, Desk

ROOT = Path(__file__).parents[3]
PROGRAM = [
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from entrypoints.cli import main; main()",
]


def run(*arguments: str, at: Path, typed: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "HOME": str(at), "XDG_STATE_HOME": str(at / "state")}
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=at, env=clean | environ, input=typed, capture_output=True, text=True, check=False
    )


def test_every_command_has_help_with_a_first_sentence(desk: Desk) -> None:
    for name in cli.commands:
        shown = desk(name, "--help") if name != "simulate" else desk("--help")
        assert shown.exit_code == 0
    assert {"serve", "migrate", "quickstart", "simulate", "usage", "add-backend"} <= set(cli.commands)


def test_the_simulated_backend_says_how_it_is_called_here_and_where_it_listens(tmp_path: Path) -> None:
    shown = run("simulate", "--help", at=tmp_path, COLUMNS="200")

    assert shown.returncode == 0
    assert shown.stdout.startswith("usage: neuronetz-gateway simulate ")
    assert "TCP port to listen on; 0 for any free one (default: 11435)" in shown.stdout


def test_help_needs_no_settings_and_no_server(tmp_path: Path) -> None:
    shown = run("--help", at=tmp_path, PORT="nonsense")

    assert shown.returncode == 0
    assert "create-tenant" in shown.stdout


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    failed = run("list-tenants", at=tmp_path, PORT="x", QUEUE_DEPTH="-1")

    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "Error: QUEUE_DEPTH must be zero or a positive number, and is '-1' (default: 64).",
        "Error: PORT must be a whole number, and is 'x' (default: 8080).",
    ]


def test_without_a_database_the_remedy_is_told(tmp_path: Path) -> None:
    failed = run("list-tenants", at=tmp_path)

    assert failed.returncode == 1
    assert "DATABASE_URL is not set" in failed.stderr
    assert "quickstart" in failed.stderr


def test_a_database_that_is_away_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    failed = run("list-tenants", at=tmp_path, DATABASE_URL="postgresql://u:s3cret@127.0.0.1:1/d")

    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: ")
    assert failed.stderr.count("\n") == 1
    assert "s3cret" not in failed.stderr
    assert "Traceback" not in failed.stderr


def test_serve_tells_all_that_is_missing(tmp_path: Path) -> None:
    failed = run("serve", at=tmp_path)

    missing = [line.split()[1] for line in failed.stderr.splitlines()]
    assert missing == ["DATABASE_URL", "REDIS_URL", "KEY_PEPPER"]


def test_serve_takes_one_process_or_more(desk: Desk) -> None:
    refused = desk("serve", "--processes", "0")

    assert refused.exit_code == 2
    assert "x>=1" in refused.stderr


def test_commands_that_serve_starts_by_itself_are_not_offered(tmp_path: Path) -> None:
    shown = run("--help", at=tmp_path)

    assert "serve-child" not in shown.stdout
    assert "serve-prepare" not in shown.stdout


def test_the_dotenv_file_here_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OLLAMA_BASE_URL='http://from-file:1'\n", encoding="utf-8")

    from_file = run("list-backends", "--no-validate", at=tmp_path)
    from_environment = run("list-backends", "--no-validate", at=tmp_path, OLLAMA_BASE_URL="http://from-env:1")

    assert "http://from-file:1" in from_file.stdout
    assert "http://from-env:1" in from_environment.stdout


def test_a_named_file_is_read_instead(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OLLAMA_BASE_URL=http://here:1\n", encoding="utf-8")
    (tmp_path / "other.env").write_text("OLLAMA_BASE_URL=http://other:1\n", encoding="utf-8")

    assert "http://other:1" in run("--env-file", "other.env", "list-backends", "--no-validate", at=tmp_path).stdout


def test_the_quickstart_of_this_machine_is_used_last_and_said(desk: Desk, tmp_path: Path) -> None:
    state = tmp_path / "state" / "neuronetz-gateway"
    state.mkdir(parents=True)
    (state / STATE_FILE).write_text(
        f"DATABASE_URL=postgresql://quick/start\nKEY_PEPPER={PEPPER}\nOLLAMA_BASE_URL=http://sim:1\n", encoding="utf-8"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.geteuid", lambda: 1000)
        own = desk("list-tenants")
        desk.environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
        borrowed = desk("list-tenants")
        backends = desk("list-backends", "--no-validate")

    assert "quickstart" not in own.stderr
    assert borrowed.exit_code == 0
    assert f"Using the stores of the quickstart on this machine ({state / STATE_FILE})." in borrowed.stderr
    assert "http://sim:1" in backends.stdout


def test_an_unexpected_error_shows_its_kind_and_no_text(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise KeyError("s3cret")

    monkeypatch.setattr(desk.register, "tenants", broken)
    failed = desk("list-tenants")

    assert failed.exit_code == 1
    assert failed.stderr == "Error: Something unexpected failed (KeyError); set LOG_LEVEL=debug to see where.\n"


def test_control_c_ends_quietly_with_130(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [*PROGRAM, "add-backend", "a", "http://h:1", "--no-validate", "--token", "-"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    with program:
        _wait_until_reading(program.pid)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=20)

    assert (program.returncode, out, err.strip()) == (130, b"", b"")


def _wait_until_reading(pid: int) -> None:
    """Until it sleeps in a read of its standard input, a pipe."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if Path(f"/proc/{pid}/wchan").read_text(encoding="ascii") in ("pipe_read", "anon_pipe_read"):
            return
        time.sleep(0.02)
    time.sleep(0.5)


def test_a_reader_that_leaves_ends_it_without_complaint(tmp_path: Path) -> None:
    entries = ",".join(f'{{"name":"b{number}","url":"http://h:{number}"}}' for number in range(1, 2000))
    state = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    environ = {"PATH": os.environ["PATH"], **state, "OLLAMA_BACKENDS": f"[{entries}]"}
    with subprocess.Popen(
        [*PROGRAM, "list-backends", "--no-validate"],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr is not None
        assert program.stderr.read() == b""


def test_a_token_from_standard_input_is_in_no_argument(tmp_path: Path) -> None:
    added = run(
        "add-backend",
        "a",
        "http://h:1",
        "--no-validate",
        "--token",
        "-",
        "--write-env",
        "x.env",
        at=tmp_path,
        typed="s3cret\n",
    )

    assert added.returncode == 0
    assert "s3cret" not in added.stdout + added.stderr
    assert "s3cret" in (tmp_path / "x.env").read_text(encoding="utf-8")
