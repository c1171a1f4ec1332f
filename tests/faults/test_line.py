"""The line fails as it is told to, and otherwise carries everything."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.line import FaultyLine


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """Says back whatever is said to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while said := connection.recv(65536):
                    connection.sendall(said)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def line(echo: tuple[str, int]) -> Iterator[FaultyLine]:
    with FaultyLine(echo) as opened:
        yield opened


def dial(line: FaultyLine) -> socket.socket:
    return socket.create_connection(("127.0.0.1", line.port), timeout=5)


def hear(connection: socket.socket, most: int) -> bytes:
    """What comes, until so much is there or nothing follows."""
    heard = b""
    while len(heard) < most and (piece := connection.recv(most - len(heard))):
        heard += piece
    return heard


def test_it_carries_megabytes_both_ways(line: FaultyLine) -> None:
    said = bytes(range(256)) * 8192
    with dial(line) as connection:
        speaker = threading.Thread(target=connection.sendall, args=(said,))
        speaker.start()
        assert hear(connection, len(said)) == said
        speaker.join()
    assert line.there.passed == line.back.passed == len(said)


def test_a_lost_reply_was_heard_at_the_other_end(line: FaultyLine) -> None:
    line.back.lost = True
    with dial(line) as connection:
        connection.sendall(b"ask")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert line.there.passed == 3


def test_latency_comes_once_and_not_for_each_piece(line: FaultyLine) -> None:
    line.back.latency_s = 0.3
    with dial(line) as connection:
        began = time.monotonic()
        for _ in range(5):
            connection.sendall(b"a")
            time.sleep(0.02)
        assert hear(connection, 5) == b"aaaaa"
    assert 0.3 <= time.monotonic() - began < 5 * 0.3


def test_a_rate_is_kept(line: FaultyLine) -> None:
    line.there.bytes_per_s = 1000
    with dial(line) as connection:
        began = time.monotonic()
        for _ in range(3):
            connection.sendall(b"x" * 100)
            assert hear(connection, 100) == b"x" * 100
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("at", [0, 1, 7, 100])
def test_a_cut_comes_at_its_byte_and_once(line: FaultyLine, at: int) -> None:
    line.back.cut_after, line.back.cut_by = at, "fin"
    with dial(line) as connection:
        connection.sendall(b"x" * 200)
        assert hear(connection, 200) == b"x" * at
    with dial(line) as connection:
        connection.sendall(b"x" * 200)
        assert hear(connection, 200) == b"x" * 200


def test_a_reset_is_one(line: FaultyLine) -> None:
    with dial(line) as connection:
        connection.sendall(b"a")
        assert connection.recv(1) == b"a"
        line.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_hang_up_is_an_end(line: FaultyLine) -> None:
    with dial(line) as connection:
        connection.sendall(b"a")
        assert connection.recv(1) == b"a"
        line.hang_up()
        assert connection.recv(1) == b""


def test_a_half_dead_connection_says_nothing(line: FaultyLine) -> None:
    with dial(line) as connection:
        connection.sendall(b"a")
        assert connection.recv(1) == b"a"
        line.die_half()
        connection.sendall(b"b")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_it_refuses_and_leads_nowhere_and_then_serves_again(line: FaultyLine) -> None:
    line.refuses = True
    with pytest.raises(ConnectionRefusedError):
        dial(line)
    line.refuses, line.leads_nowhere = False, True
    with dial(line) as connection:
        connection.sendall(b"a")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    line.clear()
    with dial(line) as connection:
        connection.sendall(b"a")
        assert connection.recv(1) == b"a"


def test_a_held_line_fills_up(line: FaultyLine) -> None:
    line.there.held = True
    with dial(line) as connection:
        connection.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 64 * 1024 * 1024:
                sent += connection.send(b"x" * 65536)
                time.sleep(0.001)
        assert 0 < sent < 64 * 1024 * 1024
    line.there.held = False


def test_an_end_of_one_side_is_passed_on_alone(line: FaultyLine) -> None:
    with dial(line) as connection:
        connection.sendall(b"last")
        connection.shutdown(socket.SHUT_WR)
        assert hear(connection, 100) == b"last"


def test_replies_may_be_lost_to_one_kind_of_connection_alone(line: FaultyLine) -> None:
    with dial(line) as watch, dial(line) as other:
        for connection in (watch, other):
            connection.sendall(b"I am the watch." if connection is watch else b"I am another.. ")
            hear(connection, 15)
        line.deafen(b"the watch")

        for connection in (watch, other):
            connection.sendall(b"again")
        assert hear(other, 5) == b"again"
        watch.settimeout(0.2)
        with pytest.raises(TimeoutError):
            watch.recv(1)
    with dial(line) as next_watch:
        next_watch.sendall(b"the watch")
        assert hear(next_watch, 9) == b"the watch"


def test_it_leads_new_connections_elsewhere_and_keeps_the_old_ones(line: FaultyLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, dial(line) as old:
        old.sendall(b"a")
        assert old.recv(1) == b"a"
        line.lead_to(other.getsockname())

        with dial(line) as new:
            new.sendall(b"b")
            arrived, _ = other.accept()
            with arrived:
                assert arrived.recv(1) == b"b"
        old.sendall(b"c")
        assert old.recv(1) == b"c"
