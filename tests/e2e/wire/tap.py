"""A tap between a gateway and its backend: keeps every byte that the gateway wrote, and can spoil what comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

import attrs

_CHUNK_BYTES = 65536
_ANSWERS = b"HTTP/1.1 "


@attrs.frozen
class Upstream:
    """One request as the backend got it."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header that is there once."""
        (value,) = [value for known, value in self.headers if known.lower() == name]
        return value


class Misframed(Exception):
    """The gateway wrote what is no plain request with a Content-Length."""


@attrs.define(eq=False)
class Tap:
    """What came, connection by connection."""

    port: int
    spoiling: bytes = b""
    """Lines put into the head of every answer, after its status line."""
    _streams: list[bytearray] = attrs.field(factory=list)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def take(self) -> list[Upstream]:
        """The requests since the last time.

        Raises:
            Misframed: on the wire is something else.
        """
        with self._lock:
            taken: list[Upstream] = []
            for stream in self._streams:
                while stream:
                    request, length = _first_of(bytes(stream))
                    del stream[:length]
                    taken.append(request)
            return taken

    def new_stream(self) -> bytearray:
        """Where the bytes of a new connection are kept."""
        with self._lock:
            self._streams.append(bytearray())
            return self._streams[-1]

    def keep(self, stream: bytearray, written: bytes) -> None:
        """More of a connection's bytes."""
        with self._lock:
            stream += written


def _first_of(raw: bytes) -> tuple[Upstream, int]:
    """The first request and how many bytes it takes."""
    head, blank, rest = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    plain = blank and len(words) == 3 and words[2] == "HTTP/1.1" and len(lengths) <= 1
    if not plain or any(name.lower() == "transfer-encoding" for name, _ in headers):
        raise Misframed(head)
    length = int(lengths[0]) if lengths else 0
    if len(rest) < length:
        raise Misframed(head)
    return Upstream(words[0], words[1], headers, rest[:length]), len(head) + len(blank) + length


def _pump(source: socket.socket, sink: socket.socket, tap: Tap, stream: bytearray | None) -> None:
    """One direction, until its end; the end is handed on too."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            if stream is not None:
                tap.keep(stream, chunk)
            elif tap.spoiling and chunk.startswith(_ANSWERS):
                status, _, rest = chunk.partition(b"\r\n")
                chunk = status + b"\r\n" + tap.spoiling + rest
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _carry(connection: socket.socket, backend_port: int, tap: Tap) -> None:
    with connection, socket.create_connection(("127.0.0.1", backend_port)) as onward:
        back = threading.Thread(target=_pump, args=(onward, connection, tap, None), daemon=True)
        back.start()
        _pump(connection, onward, tap, tap.new_stream())
        back.join()


def _accept(listener: socket.socket, backend_port: int, tap: Tap) -> None:
    with contextlib.suppress(OSError):  # the listener is closed in the end
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_carry, args=(connection, backend_port, tap), daemon=True).start()


@contextlib.contextmanager
def tapped(backend_port: int) -> Iterator[Tap]:
    """Listens in front of a backend until the end of the block; connections end with the gateways that opened them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tap = Tap(listener.getsockname()[1])
        thread = threading.Thread(target=_accept, args=(listener, backend_port, tap), daemon=True)
        thread.start()
        try:
            yield tap
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
