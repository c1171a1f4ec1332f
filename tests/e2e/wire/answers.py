"""What came back on one connection, read by h11's client: strict about what a gateway may write."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping, Sequence

import attrs
import h11

_CHUNK_BYTES = 65536
_QUIET_S = 0.4
"""Of a connection that has answered and stays open."""
_PATIENCE_S = 10.0
_ASKED = h11.Request(method="GET", target="/", headers=[("Host", "localhost")])
_ASKED_FOR_HEAD = h11.Request(method="HEAD", target="/", headers=[("Host", "localhost")])


@attrs.frozen
class Answer:
    """One final answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The gateway's stable code; `-` when it said none."""
        return self.headers.get("x-error-code", "-")

    @property
    def request_id(self) -> str:
        """The gateway's id; empty when somebody else answered."""
        return self.headers.get("x-request-id", "")


@attrs.frozen
class Conversation:
    """All that one connection said."""

    raw: bytes
    answers: Sequence[Answer]
    closed: bool
    """By the other side, without our leaving first."""
    hung: bool
    """Neither answered nor closed."""
    garbage: bool
    """Bytes that are no answer, or an answer that is not whole."""


class _Listener:
    """Takes bytes as they come."""

    def __init__(self, *, head_only: bool) -> None:
        self.raw = b""
        self.answers: list[Answer] = []
        self.garbage = False
        self._asked = _ASKED_FOR_HEAD if head_only else _ASKED
        self._connection = h11.Connection(h11.CLIENT)
        self._ask()
        self._head: h11.Response | None = None
        self._body = b""

    def _ask(self) -> None:
        self._connection.send(self._asked)
        self._connection.send(h11.EndOfMessage())

    @property
    def between(self) -> bool:
        """Whether no answer is half here."""
        return self._head is None and not self._connection.trailing_data[0]

    def take(self, raw: bytes) -> None:
        """Bytes; none at the end."""
        self.raw += raw
        if self.garbage or (not raw and self._head is None):
            return
        try:
            self._connection.receive_data(raw)
            self._events()
        except h11.RemoteProtocolError:
            self.garbage = True

    def _events(self) -> None:
        while True:
            event = self._connection.next_event()
            match event:
                case h11.Response():
                    self._head, self._body = event, b""
                case h11.Data():
                    self._body += event.data
                case h11.EndOfMessage() if self._head is not None:
                    self._whole(self._head)
                    if self._connection.our_state is not h11.DONE:
                        self.garbage = bool(self._connection.trailing_data[0])  # it said that it would close
                        return
                    self._connection.start_next_cycle()
                    self._asked = _ASKED
                    self._ask()
                case h11.InformationalResponse():
                    continue
                case _:
                    return

    def _whole(self, head: h11.Response) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        self.answers.append(Answer(head.status_code, headers, self._body))
        self._head = None


def converse(
    connection: socket.socket, writes: Sequence[bytes], *, then_fin: bool = False, head_only: bool = False
) -> Conversation:
    """Writes, and listens until the other side closes, or has answered and stays quiet.

    Args:
        connection: fresh; closed at the end.
        writes: each is given to the kernel by itself, with a moment in between.
        then_fin: whether to end our side when all is written.
        head_only: whether the first answer has no body, as it answers HEAD.
    """
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # it was closed in mid-write: what was answered is there all the same
            for written in _spaced(writes):
                connection.sendall(written)
            if then_fin:
                socket.socket.shutdown(connection, socket.SHUT_WR)  # a bare FIN under TLS too
        return _heard_out(connection, _Listener(head_only=head_only))


def _spaced(writes: Sequence[bytes]) -> Iterator[bytes]:
    for number, written in enumerate(writes):
        if number:
            time.sleep(0.001)
        yield written


def _heard_out(connection: socket.socket, heard: _Listener) -> Conversation:
    closed = hung = False
    deadline = time.monotonic() + _PATIENCE_S
    while not closed and not heard.garbage:
        answered = bool(heard.answers) and heard.between
        connection.settimeout(_QUIET_S if answered else max(0.01, deadline - time.monotonic()))
        try:
            chunk = connection.recv(_CHUNK_BYTES)
        except TimeoutError:
            hung = not answered
            break
        except OSError:
            chunk = b""
        closed = not chunk
        heard.take(chunk)
    return Conversation(heard.raw, heard.answers, closed=closed, hung=hung, garbage=heard.garbage or not heard.between)


@attrs.define(eq=False)
class Kept:
    """One connection for many requests, opened anew whenever the other side has closed it."""

    connection: socket.socket

    def ask(self, request: bytes, *, head_only: bool) -> Conversation:
        """One request; the answer, or none when it was closed without one. Stays open unless it says otherwise."""
        heard = _Listener(head_only=head_only)
        self.connection.settimeout(_PATIENCE_S)
        closed = False
        try:
            self.connection.sendall(request)
            while not heard.answers and not heard.garbage:
                chunk = self.connection.recv(_CHUNK_BYTES)
                heard.take(chunk)
                if not chunk:
                    closed = True
                    break
        except TimeoutError:
            return Conversation(heard.raw, heard.answers, closed=False, hung=True, garbage=False)
        except ConnectionError:
            closed = True
        closed = closed or heard.garbage or any("close" in one.headers.get("connection", "") for one in heard.answers)
        return Conversation(heard.raw, heard.answers, closed=closed, hung=False, garbage=heard.garbage)
