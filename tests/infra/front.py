"""Caddy in front of a gateway, as `infra/caddy/Caddyfile.example` sets it up; only its variables are ours."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.house import House, Key
from tests.e2e.programs import Program, eventually, free_port, program_environment
from tests.infra.tools import INFRA, tool

CADDYFILE = INFRA / "caddy" / "Caddyfile.example"
ELSEWHERE = "127.0.0.2"
"""A client's address that is not Caddy's; the whole of 127/8 is ours on Linux."""
_EXEC = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
_START_S = 30.0


class Front(Program):
    """A Caddy with a certificate of its own authority."""

    def __init__(self, upstream_port: int, folder: Path) -> None:
        caddy = tool("caddy", package="Debian's caddy")
        self.port, self.plain_port = free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        home = folder / f"caddy-{self.port}"
        home.mkdir()
        self._root = home / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        environ = program_environment() | {
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "SITE_ADDRESS": self.url,
            "HTTP_PORT": str(self.plain_port),
            "HTTPS_PORT": str(self.port),
            "TLS_ISSUER": "internal",
            "UPSTREAM": f"127.0.0.1:{upstream_port}",
        }
        arguments = ["-c", _EXEC, caddy, "run", "--adapter", "caddyfile", "--config", str(CADDYFILE)]
        super().__init__(arguments, environ, folder, f"caddy-{self.port}")

    def wait_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            assert self.running, f"Caddy ended:\n{self.text()[-4000:]}"
            if self._root.exists() and self._answers():
                return
            time.sleep(0.05)
        raise AssertionError(f"Caddy is not ready:\n{self.text()[-4000:]}")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", verify=self.trust(), timeout=5).status_code == 404  # its own answer
        except (httpx.HTTPError, ssl.SSLError):
            return False

    def trust(self) -> ssl.SSLContext:
        """Believes Caddy's own authority, and nobody else."""
        return ssl.create_default_context(cafile=str(self._root))

    def connect(self, protocol: str | None = "http/1.1", *, address: str = "127.0.0.1") -> ssl.SSLSocket:
        """A raw connection.

        Args:
            protocol: the one that is offered; None offers none.
            address: the client's own.
        """
        trust = self.trust()
        if protocol:
            trust.set_alpn_protocols([protocol])
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(address, 0))
        return trust.wrap_socket(plain, server_hostname="localhost")

    def exchange(self, request: bytes, *, address: str = "127.0.0.1", protocol: str | None = "http/1.1") -> bytes:
        """Sends bytes as they are, and reads to the end of the connection; so ask for `Connection: close`."""
        with self.connect(protocol, address=address) as connection:
            return read_all(connection, request)

    def connect_plainly(self) -> socket.socket:
        """A raw connection without TLS, where Caddy only redirects."""
        return socket.create_connection(("127.0.0.1", self.plain_port), timeout=10)

    def any_client(self, *, http2: bool = False, **options: Any) -> httpx.Client:
        """A client; over HTTP/2, as browsers speak it, when it is asked for."""
        transport = httpx.HTTPTransport(verify=self.trust(), http2=http2)
        return httpx.Client(base_url=self.url, transport=transport, timeout=30, trust_env=False, **options)

    def client(self, key: Key, *, http2: bool = False) -> httpx.Client:
        """A client with a key."""
        return self.any_client(http2=http2, headers=key.headers)


def inference(house: House, *, ended: bool, within_s: float = 10) -> dict[str, Any]:
    """The backend's own account of its one call, once it has begun or ended."""
    for _ in eventually(within_s, 0.02):
        found = [entry for entry in house.simulator.log() if entry["kind"] == "inference"]
        if found and (found[0]["ended"] != "running") is ended:
            (entry,) = found
            return entry
    raise AssertionError


def read_all(connection: socket.socket, request: bytes) -> bytes:
    """Sends, and reads until the other side closes or resets."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        connection.sendall(request)
        while chunk := connection.recv(65536):
            answer += chunk
    return answer
