"""`quickstart` as a person meets it: twice in a row, killed in between, as root and as a plain user."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from entrypoints import env_file
from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import fresh_database
from tests.e2e.programs import ROOT, eventually, free_port, program_environment

KEY = re.compile(r"nz_[0-9A-Za-z]{48}")


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory that the servers' own account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="nzquick-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder / "state"
    shutil.rmtree(folder, ignore_errors=True)


def start(state: Path, port: int, *options: str, **environ: str) -> subprocess.Popen[str]:
    arguments = ["-m", "neuronetz_gateway", "quickstart", "--state-dir", str(state), "--port", str(port), *options]
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=program_environment() | {"OLLAMA_BASE_URL": ""} | environ,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def once(state: Path, **environ: str) -> str:
    began = time.monotonic()
    child = start(state, free_port(), "--once", **environ)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 0, said
    assert time.monotonic() - began < 60
    return said


def servers_of(state: Path) -> list[str]:
    """Processes that work on a state directory."""
    found = subprocess.run(["/bin/ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if str(state) in line and "quickstart" not in line]


def test_once_shows_a_streamed_answer_and_lines_to_copy_twice_in_a_row(state: Path) -> None:
    first, second = once(state), once(state)

    for said in (first, second):
        assert "not a model" in said
        assert "curl -N http://127.0.0.1:" in said
        assert "/v1/chat/completions" in said
    assert len(set(KEY.findall(first))) == 1
    assert not KEY.findall(second)
    assert servers_of(state) == []


def test_stores_of_ones_own_are_used_and_never_kept(state: Path, stores: EmbeddedStores) -> None:
    with fresh_database(stores) as database_url:
        own = {"DATABASE_URL": database_url, "REDIS_URL": stores.redis_url}
        first, second = once(state, **own), once(state, **own)
        kept = env_file.read(state / "gateway.env")

    for said in (first, second):
        assert "not a model" in said
        assert "PostgreSQL and Valkey are running" not in said
    assert len(set(KEY.findall(first))) == 1
    assert not KEY.findall(second)
    assert set(kept) == {"AUDIT_SEAL_KEY", "KEY_PEPPER", "OLLAMA_BASE_URL"}
    assert "PostgreSQL and Valkey are running" in once(state)


@pytest.mark.parametrize(("given", "missing"), [("DATABASE_URL", "REDIS_URL"), ("REDIS_URL", "DATABASE_URL")])
def test_one_store_of_ones_own_without_the_other_is_refused(
    state: Path, stores: EmbeddedStores, given: str, missing: str
) -> None:
    urls = {"DATABASE_URL": stores.database_url, "REDIS_URL": stores.redis_url}
    child = start(state, free_port(), "--once", **{given: urls[given]})
    said, _ = child.communicate(timeout=30)

    assert child.returncode == 1
    assert f"{missing} is not set" in said
    assert "Traceback" not in said
    assert not state.exists()


def test_the_file_of_the_same_quickstart_does_not_stand_in_its_way(state: Path) -> None:
    once(state)
    arguments = ["--env-file", str(state / "gateway.env"), "quickstart", "--once", "--state-dir", str(state)]
    done = subprocess.run(
        [sys.executable, "-m", "neuronetz_gateway", *arguments, "--port", str(free_port())],
        env=program_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_signal_leaves_an_orphan_or_loses_anything(state: Path, number: signal.Signals) -> None:
    port = free_port()
    child = start(state, port)
    key = ""
    assert child.stdout is not None
    for line in child.stdout:
        key = key or next(iter(KEY.findall(line)), "")
        if line.startswith("Serving on"):
            break
    url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{url}/api/tags", headers=headers).status_code == 200

    child.send_signal(number)
    child.communicate(timeout=30)
    for _ in eventually(10):
        if not servers_of(state):
            break

    assert child.returncode == {signal.SIGKILL: -9}.get(number, 0)
    again = start(state, port)
    assert again.stdout is not None
    for line in again.stdout:
        if line.startswith("Serving on"):
            break
    assert httpx.get(f"{url}/api/tags", headers=headers).status_code == 200
    again.terminate()
    again.communicate(timeout=30)


def test_other_commands_find_the_stores_of_a_running_quickstart(state: Path) -> None:
    port = free_port()
    child = start(state, port)
    assert child.stdout is not None
    printed = ""
    for line in child.stdout:
        if line.startswith("  neuronetz-gateway "):
            printed = line
        if line.startswith("Serving on"):
            break
    commands = [["--env-file", str(state / "gateway.env"), "list-tenants"], shlex.split(printed)[1:]]
    listed, copied = (
        subprocess.run(
            [sys.executable, "-m", "neuronetz_gateway", *command],
            env=program_environment(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        for command in commands
    )
    child.terminate()
    child.communicate(timeout=30)

    assert listed.returncode == 0, listed.stderr
    assert "quickstart" in listed.stdout
    assert "usage" in printed
    assert copied.returncode == 0, copied.stderr


def test_a_taken_port_is_said_in_one_sentence(state: Path) -> None:
    port = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        child = start(state, port, "--once")
        said, _ = child.communicate(timeout=30)

    assert child.returncode == 1
    assert "Cannot listen on" in said
    assert "--port" in said
    assert "Traceback" not in said


_AS_NOBODY = """
import encodings.idna, importlib.readers, os, pkgutil, pwd, sys
import neuronetz_gateway
sys.path.insert(0, str(neuronetz_gateway.ROOT))
# All of ours is loaded while we may still read it: the interpreter may lie where only root can go.
import adapters, application, entrypoints
for package in (adapters, application, entrypoints):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
import hypercorn.asyncio, redis.asyncio
from adapters.system import argon2id
from alembic import command, config, script
from sqlalchemy.dialects.postgresql import psycopg
argon2id.matches("x", argon2id.make("x"))
nobody = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)
neuronetz_gateway.main()
"""


def out_of_reach(path: Path) -> bool:
    """Whether somebody else than its owner cannot get to a folder."""
    return any(not folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


@pytest.mark.skipif(os.geteuid() != 0, reason="a plain user runs all of this file as one")
@pytest.mark.skipif(out_of_reach(ROOT) or out_of_reach(Path(sys.prefix)), reason="only root can go where this lies")
def test_a_plain_user_can_run_it() -> None:
    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="nzuser-", dir="/var/tmp"))
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    arguments = ["quickstart", "--once", "--state-dir", str(folder / "state"), "--port", str(free_port())]
    try:
        done = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, *arguments],
            env=program_environment() | {"HOME": str(folder)},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        owners = {(folder / "state" / name).stat().st_uid for name in ("gateway.env", "pgdata")}
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    assert "not a model" in done.stdout
    assert owners == {nobody.pw_uid}
