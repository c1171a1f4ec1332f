"""A backend on bare sockets. It tells of its models as Ollama does, one model a script; asked to infer, it plays."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from tests.e2e.hostile.voices import AT, Voice, voice_of

TOKEN = "canary-4d1f0c9e7b2a48c6"
"""The operator's token: must be seen nowhere."""
_LONGEST_S = 20.0
"""No script goes on for longer, whatever the gateway does."""


@attrs.define
class Talk:
    """One request and the connection it came on."""

    sock: socket.socket
    head: bytes
    body: dict[str, Any]
    voice: Voice
    model: str
    is_reused: bool = False
    """Whether the connection has carried a call of this script before."""
    keeps: bool = False
    """Set by a script that leaves the connection in good order."""

    def send(self, octets: bytes) -> None:
        """Says exactly this."""
        self.sock.sendall(octets)

    def open(self, *more: bytes, status: bytes = b"200 OK", content_type: str | None = None) -> None:
        """Begins a chunked answer."""
        self.send(self.opening(*more, status=status, content_type=content_type))

    def opening(
        self, *more: bytes, status: bytes = b"200 OK", content_type: str | None = None, length: int | None = None
    ) -> bytes:
        """A head; chunked unless a length is given."""
        framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
        kind = (self.voice.content_type if content_type is None else content_type).encode()
        lines = [b"HTTP/1.1 " + status, b"Content-Type: " + kind, framing, *more, b"", b""]
        return b"\r\n".join(lines)

    def chunk(self, octets: bytes) -> None:
        """One chunk."""
        self.send(chunked(octets))

    def answer(self, octets: bytes, *more: bytes, **how: Any) -> None:
        """A whole answer, in perfect HTTP."""
        self.send(self.opening(*more, length=len(octets), **how) + octets)

    def text(self) -> None:
        """Some text where the answer is streamed, and the beginning of it where it is not."""
        voice = self.voice
        self.chunk(voice.begun(self.model) + voice.text(self.model) if voice.streamed else voice.last(self.model)[:40])

    def wait(self) -> None:
        """Says nothing until the gateway leaves."""
        with contextlib.suppress(ConnectionResetError):
            while self.sock.recv(65536):
                pass

    def reset(self) -> None:
        """Hangs up the hard way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def chunked(octets: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(octets), octets)


Play = Callable[[Talk], None]
"""A script. When it returns, the connection is closed; OSError says that the gateway has left."""


class HostileBackend:
    """A server whose models are scripts."""

    def __init__(self, scripts: Mapping[str, Play], surveys: Mapping[str, Play] | None = None) -> None:
        self.scripts = scripts
        self.surveys = {} if surveys is None else surveys
        """What is played instead of the honest answer to `/api/tags` and the like."""
        self.playing: Counter[str] = Counter()
        """Scripts under way."""
        self.requests: list[bytes] = []
        """Heads of inference requests."""
        self.surveyed: list[bytes] = []
        """Heads of the others."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._sockets: set[socket.socket] = set()
        self._served: set[tuple[socket.socket, str]] = set()
        """Which of them have carried a call of which script."""
        self._closing = False
        self._closes_all = False
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._accepting = threading.Thread(target=self._accept)
        self._talking: list[threading.Thread] = []

    @classmethod
    @contextlib.contextmanager
    def open(cls, scripts: Mapping[str, Play], surveys: Mapping[str, Play] | None = None) -> Iterator[HostileBackend]:
        """One that listens."""
        backend = cls(scripts, surveys)
        backend._accepting.start()
        try:
            yield backend
        finally:
            backend._close()

    @property
    def setting(self) -> str:
        """`OLLAMA_BACKENDS` with this one alone."""
        return json.dumps([{"name": "hostile", "url": self.url, "token": TOKEN, "max_in_flight": 64}])

    def _close(self) -> None:
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._talking:
            thread.join(5)

    @contextlib.contextmanager
    def closing_all(self) -> Iterator[None]:
        """For a while each connection is accepted and closed, those that are kept, too."""
        self._closes_all = True
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._closes_all = False

    def _accept(self) -> None:
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._closes_all:
                sock.close()
                continue
            thread = threading.Thread(target=self._talk, args=(sock,))
            self._talking = [one for one in self._talking if one.is_alive()] + [thread]
            thread.start()

    def _talk(self, sock: socket.socket) -> None:
        self._sockets.add(sock)
        sock.settimeout(_LONGEST_S)
        try:
            with contextlib.suppress(OSError):
                while request := read_request(sock):
                    if not self._respond(sock, *request):
                        break
        finally:
            self._sockets.discard(sock)
            self._served = {one for one in self._served if one[0] is not sock}
            sock.close()

    def _respond(self, sock: socket.socket, path: str, head: bytes, body: dict[str, Any]) -> bool:
        """Whether the connection goes on."""
        model = str(body.get("model", ""))
        name = model.partition(":")[0]
        if name not in self.scripts or path == "/api/show":
            self.surveyed.append(head)
        if path in self.surveys:
            talk = Talk(sock, head, body, voice_of("/api/chat", streamed=False), model)
            self.surveys[path](talk)
            return False
        listed = self._listing(path)
        if listed is not None:
            octets = json.dumps(listed).encode()
            kind = b"Content-Type: application/json\r\n"
            sock.sendall(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (kind, len(octets), octets))
            return True
        self.requests.append(head)
        counts = (body.get("options") or {}).get("num_predict") != 1  # else it is a probe of the gateway's own
        self.playing[name] += counts
        try:
            voice = voice_of(path, streamed=bool(body.get("stream")))
            talk = Talk(sock, head, body, voice, model)
            talk.is_reused = (sock, name) in self._served
            self.scripts[name](talk)
            self._served.add((sock, name))
        finally:
            self.playing[name] -= counts
        return talk.keeps

    def _listing(self, path: str) -> Any:
        about = {"modified_at": AT, "size": 1, "details": {"family": "llama"}}
        entries = [{"name": name, "model": name, "digest": name, **about} for name in self.scripts]
        match path:
            case "/api/version":
                return {"version": "0.33.0"}
            case "/api/tags":
                return {"models": entries}
            case "/api/ps":
                return {"models": [entry | {"context_length": 4096} for entry in entries]}
            case "/api/show":
                return {"model_info": {"llama.context_length": 4096}, "capabilities": ["completion", "embedding"]}
            case _:
                return None


def read_request(sock: socket.socket) -> tuple[str, bytes, dict[str, Any]] | None:
    """Path, head and body; None when the gateway has left."""
    octets = b""
    while b"\r\n\r\n" not in octets:
        part = sock.recv(65536)
        if not part:
            return None
        octets += part
    head, _, body = octets.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        body += sock.recv(65536)
    return lines[0].split()[1], head, json.loads(body) if body else {}


def pour(talk: Talk, octets: bytes, most_bytes: int, *, framed: bool = True) -> None:
    """The same again and again, up to so many bytes."""
    until_s = time.monotonic() + _LONGEST_S
    whole = chunked(octets) if framed else octets
    for _ in range(0, most_bytes, len(octets)):
        if time.monotonic() > until_s:
            return
        talk.send(whole)
