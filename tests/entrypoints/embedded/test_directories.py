"""The lock of the state directory and the safety of the socket directory, without any server."""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoints.embedded.account import Account
from entrypoints.embedded.errors import AlreadyRunningError, StateDirError
from entrypoints.embedded.socket_dir import choose_socket_dir, open_socket_dir, remove_socket_dir
from entrypoints.embedded.state_dir import StateDir, default_state_dir, exclusively, open_state_dir, own_dir

_OURSELVES = Account(name="ourselves")
_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give things away")


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nzt-", dir="/tmp") as path:
        yield Path(path)


def _no_step(_step: str) -> None: ...


def test_root_keeps_state_where_others_can_get_to_and_users_keep_it_at_home() -> None:
    assert default_state_dir({}, as_root=True) == Path("/var/lib/neuronetz-gateway")
    for as_root in (True, False):
        assert default_state_dir({"XDG_STATE_HOME": "/x"}, as_root=as_root) == Path("/x/neuronetz-gateway")
    for environ in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}):
        assert default_state_dir(environ, as_root=False) == Path.home() / ".local/state/neuronetz-gateway"


def test_a_new_state_directory_is_private(tmp_path: Path) -> None:
    state = open_state_dir(tmp_path / "a/b", _OURSELVES)

    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700


@_root_only
def test_somebody_elses_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    os.chown(tmp_path, 1, 1)

    with pytest.raises(StateDirError, match="belongs to uid 1"):
        open_state_dir(tmp_path, _OURSELVES)


@_root_only
def test_a_directory_made_but_not_yet_given_away_is_given_away(tmp_path: Path) -> None:
    half_done = tmp_path / "valkey"
    half_done.mkdir()

    own_dir(half_done, Account(name="daemon", uid=1, gid=1))

    assert half_done.stat().st_uid == 1


@_root_only
def test_a_directory_of_another_account_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").touch()

    with pytest.raises(StateDirError, match=r"belongs to uid 0, not to daemon\. Run the stores as its owner"):
        own_dir(tmp_path, Account(name="daemon", uid=1, gid=1))


def test_the_servers_of_a_dead_owner_are_waited_for_and_then_named(tmp_path: Path) -> None:
    state = open_state_dir(tmp_path, _OURSELVES)
    with exclusively(state, _no_step) as lock_fd:
        server = subprocess.Popen(["/bin/sleep", "60"], pass_fds=(lock_fd,))
        state.lock.write_text("4194305\n")  # one above the highest pid there can be
    steps: list[str] = []
    try:
        with (
            pytest.raises(AlreadyRunningError, match="The servers of an earlier run still hold"),
            exclusively(state, steps.append, patience_with_the_dying_s=0.2),
        ):
            pytest.fail("two at once")
    finally:
        server.kill()
        server.wait()

    assert steps == ["waiting for the servers of an earlier run to end"]
    with exclusively(state, _no_step):
        assert state.lock.read_text() == f"{os.getpid()}\n"


def test_the_same_state_always_has_the_same_sockets_and_another_has_others(short: Path) -> None:
    def chosen(name: str, **environ: str) -> Path:
        return choose_socket_dir(StateDir(Path(name)), _OURSELVES, environ)

    assert chosen("/a") == chosen("/a")
    assert chosen("/a") != chosen("/b")
    assert chosen("/a").name.startswith(f"nzgw-{os.geteuid()}-")
    assert chosen("/a", XDG_RUNTIME_DIR=str(short)).parent == short
    assert chosen("/a", XDG_RUNTIME_DIR="/usr/lib").parent != Path("/usr/lib")
    deep = short / ("deep" * 25)
    deep.mkdir(mode=0o700)
    assert chosen("/a", XDG_RUNTIME_DIR=str(deep)).parent != deep


def test_a_socket_directory_is_private_and_cleared_of_an_earlier_run(short: Path) -> None:
    sockets = short / "sockets"
    open_socket_dir(sockets, _OURSELVES)
    (sockets / ".s.PGSQL.5432.lock").touch()

    open_socket_dir(sockets, _OURSELVES)

    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert list(sockets.iterdir()) == []
    remove_socket_dir(sockets)
    remove_socket_dir(sockets)
    assert not sockets.exists()


@_root_only
def test_a_socket_directory_of_somebody_else_is_refused(short: Path) -> None:
    sockets = short / "sockets"
    sockets.mkdir(mode=0o700)
    os.chown(sockets, 1, 1)

    with pytest.raises(StateDirError, match=r"is not ours alone \(uid 1, drwx------\)"):
        open_socket_dir(sockets, _OURSELVES)


def test_a_socket_directory_that_others_may_enter_is_refused(short: Path) -> None:
    sockets = short / "sockets"
    sockets.mkdir()
    sockets.chmod(0o755)

    with pytest.raises(StateDirError, match="is not ours alone"):
        open_socket_dir(sockets, _OURSELVES)


def test_a_link_in_the_place_of_a_socket_directory_is_refused(short: Path) -> None:
    target = short / "target"
    target.mkdir(mode=0o700)
    (target / "precious").touch()
    link = short / "sockets"
    link.symlink_to(target)

    with pytest.raises(StateDirError, match="is not ours alone"):
        open_socket_dir(link, _OURSELVES)

    assert (target / "precious").exists()


def test_a_path_too_long_for_a_socket_is_refused_before_a_server_fails_on_it(short: Path) -> None:
    with pytest.raises(StateDirError, match="too long for a unix socket"):
        open_socket_dir(short / ("deep" * 25), _OURSELVES)
