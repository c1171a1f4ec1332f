"""The parent and its places, with small children in the gateway's stead."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.several import events, living, none_left, send, wait_for
from tests.e2e.programs import Gateway, Program, eventually, free_port, program_environment

SMALL = Path(__file__).with_name("small.py")


_ON_A_TERMINAL = """
import os, sys
os.setsid()
os.open(sys.argv[1], os.O_RDWR)  # the first one that the leader of a session opens is its own
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Parent(Gateway):
    """The parent of two small children, in a folder of its own."""

    def __init__(
        self, folder: Path, behaviour: str = "", problem: str = "", terminal: str | None = None, **extra: str
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.set_in_file("")
        self.behave(behaviour)
        self.finds(problem)
        settings = {"PROCESSES": "2", "HOST": "127.0.0.1", "PORT": str(self.port), "METRICS_BIND": "off"}
        environ = program_environment() | settings | {"DRAIN_TIMEOUT_S": "0"} | extra
        before = [] if terminal is None else ["-c", _ON_A_TERMINAL, terminal]
        Program.__init__(self, [*before, str(SMALL), str(folder)], environ, folder, "parent")

    def set_in_file(self, line: str) -> None:
        (self.folder / "settings").write_text(line + "\n")

    def behave(self, behaviour: str) -> None:
        (self.folder / "behaviour").write_text(behaviour)

    def finds(self, problem: str) -> None:
        (self.folder / "problem").write_text(problem)


@pytest.fixture
def parents() -> Iterator[list[Parent]]:
    opened: list[Parent] = []
    yield opened
    for parent in opened:
        pids = living(parent)
        parent.stop()
        none_left(pids)


@pytest.fixture
def parent(parents: list[Parent], tmp_path: Path) -> Parent:
    parents.append(Parent(tmp_path))
    wait_for(parents[0], "process_ready", 2)
    return parents[0]


def test_it_stops_all_and_ends_after_the_last(parent: Parent) -> None:
    pids = living(parent)

    parent.send(signal.SIGTERM)

    assert parent.wait(10) == 0
    assert len(pids) == 2
    none_left(pids)
    assert [event["status"] for event in events(parent, "process_ended")] == [0, 0]


def test_when_the_first_child_cannot_start_it_ends_with_a_sentence(parents: list[Parent], tmp_path: Path) -> None:
    parents.append(Parent(tmp_path, "cannot start"))

    assert parents[0].wait(10) == 1
    assert "Error: No gateway process could be started" in parents[0].text()
    assert len(events(parents[0], "process_started")) == 1
    assert events(parents[0], "process_ended")[0]["status"] == 3


def test_what_preparing_finds_is_what_it_says(parents: list[Parent], tmp_path: Path) -> None:
    parents.append(Parent(tmp_path, problem="REDIS_URL is not set.\nThe database is away."))

    assert parents[0].wait(10) == 1
    assert parents[0].text().startswith("Error: ")
    assert "REDIS_URL is not set." in parents[0].text()
    assert "The database is away." in parents[0].text()
    assert events(parents[0], "process_started") == []


def test_a_dead_child_is_started_again_at_once_and_then_after_a_pause(parent: Parent) -> None:
    parent.behave("dies")
    send(living(parent)[0], signal.SIGKILL)

    pauses = wait_for(parent, "process_start_waits", 2)

    ends = events(parent, "process_ended")
    assert {end["signal"] for end in ends} == {"SIGKILL"}
    assert {end["process"] for end in ends} == {1}
    assert [pause["seconds"] for pause in pauses[:2]] == [1.0, 2.0]
    assert len(events(parent, "process_started")) - 2 == 2


def test_a_child_that_leaves_by_itself_is_followed_by_another(parent: Parent) -> None:
    send(living(parent)[1], signal.SIGTERM)

    started = wait_for(parent, "process_ready", 3)

    assert started[2]["process"] == 2
    assert events(parent, "process_start_waits") == []


def test_a_child_that_hangs_before_it_listens_is_followed_by_another(parent: Parent) -> None:
    parent.behave("never listens")
    send(living(parent)[0], signal.SIGKILL)
    for _ in eventually(10):
        if (parent.folder / "hangs").exists():
            break
    hanging = events(parent, "process_started")[2]
    parent.behave("")

    started = wait_for(parent, "process_ready", 3)

    assert started[2]["process"] == 1
    assert started[2]["pid"] != hanging["pid"]
    assert hanging["pid"] not in living(parent)


def test_sighup_replaces_every_child_one_after_another(parent: Parent) -> None:
    before = living(parent)

    parent.send(signal.SIGHUP)
    wait_for(parent, "rolling_restart_done", 1)
    none_left(before)

    order = [(event["process"], event["pid"]) for event in events(parent, "process_ready")]
    assert [place for place, _ in order[2:]] == [1, 2]
    assert len(living(parent)) == 2


def test_several_sighups_in_a_row_leave_as_many_as_there_were(parent: Parent) -> None:
    for _ in range(5):
        parent.send(signal.SIGHUP)
    wait_for(parent, "rolling_restart_done", 1)
    parent.send(signal.SIGHUP)
    wait_for(parent, "rolling_restart_done", 2)

    for _ in eventually(10):
        if len(living(parent)) == 2:
            return


def test_a_new_child_that_does_not_listen_leaves_the_old_one_in_its_place(parent: Parent) -> None:
    before = living(parent)
    parent.behave("cannot start")

    parent.send(signal.SIGHUP)
    (broken_off,) = wait_for(parent, "rolling_restart_broken_off", 1)

    assert broken_off["process"] == 1
    assert living(parent) == before


def test_a_broken_setting_changes_nothing(parent: Parent) -> None:
    before = living(parent)
    parent.set_in_file("QUEUE_DEPTH=-1")

    parent.send(signal.SIGHUP)
    (refused,) = wait_for(parent, "rolling_restart_refused", 1)

    assert refused["reasons"] == ["QUEUE_DEPTH must be zero or a positive number, and is '-1' (default: 64)."]
    assert living(parent) == before
    assert len(events(parent, "process_started")) == 2


def test_a_failed_migration_changes_nothing(parent: Parent) -> None:
    before = living(parent)
    parent.finds("The database is away.")

    parent.send(signal.SIGHUP)
    (refused,) = wait_for(parent, "rolling_restart_refused", 1)

    assert refused["reasons"] == ["The database is away."]
    assert living(parent) == before


def test_a_child_that_does_not_stop_in_time_is_killed_and_that_is_said(parents: list[Parent], tmp_path: Path) -> None:
    parents.append(Parent(tmp_path, "deaf"))
    wait_for(parents[0], "process_ready", 2)

    parents[0].send(signal.SIGTERM)

    assert parents[0].wait(10) == 1
    assert len(events(parents[0], "process_killed")) == 2
    assert "Error: 2 of the processes did not stop in time" in parents[0].text()


def test_orphans_that_it_inherits_are_collected(parents: list[Parent], tmp_path: Path) -> None:
    parents.append(Parent(tmp_path, "leaves an orphan"))
    wait_for(parents[0], "process_ready", 2)

    for _ in eventually(10):
        if (tmp_path / "orphan").exists() and (tmp_path / "orphan").read_text().endswith("\n"):
            break
    none_left([int((tmp_path / "orphan").read_text())])  # a zombie would still be there


def test_metrics_of_all_are_fetched_in_one_place(parents: list[Parent], tmp_path: Path) -> None:
    bind = f"127.0.0.1:{free_port()}"
    parents.append(Parent(tmp_path, METRICS_BIND=bind))
    wait_for(parents[0], "process_ready", 2)

    lines = httpx.get(f"http://{bind}/metrics", timeout=10).text.splitlines()

    assert [line for line in lines if not line.startswith("#")] == [
        'seen_total{a="b",process="1"} 1.0',
        'seen_total{a="b",process="2"} 2.0',
        "neuronetz_processes 2.0",
        "neuronetz_process_restarts_total 0.0",
    ]


def test_a_taken_port_is_said_in_one_sentence(parent: Parent, parents: list[Parent], tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    parents.append(Parent(folder, PORT=str(parent.port)))

    assert parents[1].wait(10) == 1
    assert parents[1].text().startswith(f"Error: Cannot listen on 127.0.0.1:{parent.port} (Address already in use).")
    assert parents[1].text().count("\n") == 1


def test_when_its_terminal_is_closed_it_stops(parents: list[Parent], tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    parents.append(Parent(tmp_path, terminal=os.ttyname(theirs)))
    wait_for(parents[0], "process_ready", 2)
    os.close(theirs)

    os.close(ours)

    assert parents[0].wait(10) == 0
    assert events(parents[0], "rolling_restart") == []


def test_a_signal_to_all_of_them_at_once_is_one_stop_and_no_haste(parent: Parent) -> None:
    pids = living(parent)
    for pid in [*pids, parent.pid]:
        send(pid, signal.SIGTERM)

    assert parent.wait(10) == 0
    ends = {event["pid"]: event for event in events(parent, "process_ended")}
    assert [ends[pid].get("status") for pid in pids] == [0, 0]
    assert living(parent) == []  # nor one that was begun in their place before the parent heard the signal
