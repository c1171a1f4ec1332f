"""An upstream that keeps what reaches it, byte for byte, and answers 200."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import attrs

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@attrs.define
class Recorder:
    """What came, one entry per connection."""

    port: int
    heads: list[bytes] = attrs.field(factory=list)

    def take(self) -> list[bytes]:
        """What came since the last time."""
        taken, self.heads = self.heads, []
        return taken


def _serve(listener: socket.socket, recorder: Recorder) -> None:
    with contextlib.suppress(OSError):  # the listener is closed in the end
        while True:
            connection, _ = listener.accept()
            with connection:
                recorder.heads.append(connection.recv(65536))
                connection.sendall(_ANSWER)


@contextlib.contextmanager
def recording() -> Iterator[Recorder]:
    """Listens until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        recorder = Recorder(listener.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listener, recorder), daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
