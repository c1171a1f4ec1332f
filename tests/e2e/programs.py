"""Real programs for tests: a gateway, a simulated backend, each a process of its own that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

ROOT = Path(__file__).resolve().parents[2]
PEPPER = "a-pepper-for-tests-that-is-long-enough-0123456789"
_START_S = 30.0


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program_environment() -> dict[str, str]:
    """An environment in which our packages are found, and nothing of the developer's leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "CI") if name in os.environ}
    kept["XDG_STATE_HOME"] = "/nonexistent"  # a quickstart of the developer's own is not ours to use
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT / "infra" / "launcher"), str(ROOT)])}


class Program:
    """One child process with its output in a file."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], folder: Path, name: str) -> None:
        self.output = folder / f"{name}.log"
        self._stream = self.output.open("ab")
        self._child = subprocess.Popen(
            [sys.executable, *arguments],
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._stream,
            stderr=self._stream,
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def kill(self) -> None:
        """kill -9."""
        self._child.kill()
        self._child.wait()

    def send(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        return self._child.wait(timeout_s)

    def stop(self) -> None:
        """SIGTERM, and its whole end."""
        if self.running:
            self._child.terminate()
            try:
                self._child.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self._stream.close()

    def text(self) -> str:
        return self.output.read_text(errors="replace")


class Gateway(Program):
    """A gateway process."""

    def __init__(self, environ: Mapping[str, str], folder: Path, name: str = "gateway") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ["-m", "neuronetz_gateway", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        super().__init__(arguments, program_environment() | dict(environ), folder, f"{name}-{self.port}")

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def wait_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self.is_ready():
                return
            assert self.running, f"the gateway ended:\n{self.text()[-4000:]}"
            time.sleep(0.05)
        raise AssertionError(f"the gateway is not ready:\n{self.text()[-4000:]}")


class Simulator(Program):
    """A simulated backend process."""

    def __init__(self, folder: Path, *options: str, name: str = "simulator") -> None:
        port_file = folder / f"{name}.port"
        port_file.unlink(missing_ok=True)
        self.truth = folder / f"{name}.truth.jsonl"
        arguments = ["-m", "entrypoints.simulator", "--port-file", str(port_file), "--log", str(self.truth), *options]
        super().__init__(arguments, program_environment(), folder, name)
        deadline = time.monotonic() + _START_S
        while not port_file.exists():
            assert self.running and time.monotonic() < deadline, f"no simulator:\n{self.text()[-4000:]}"
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{int(port_file.read_text())}"

    def log(self, *, reset: bool = False) -> list[dict[str, Any]]:
        """What it served, by its own account."""
        answer = httpx.get(f"{self.url}/_sim/log", params={"reset": "1"} if reset else {}, timeout=10)
        found = msgspec.json.decode(answer.content)
        return list(found["entries"] if isinstance(found, dict) else found)

    def state(self) -> dict[str, Any]:
        """What is in flight there."""
        return dict(msgspec.json.decode(httpx.get(f"{self.url}/_sim/state", timeout=10).content))

    def behave(self, behaviour: Mapping[str, Any]) -> None:
        """Scripts what it does next."""
        httpx.post(f"{self.url}/_sim/behaviour", json=behaviour, timeout=10).raise_for_status()

    def behave_normally(self) -> None:
        httpx.delete(f"{self.url}/_sim/behaviour", timeout=10).raise_for_status()


def eventually(within_s: float, every_s: float = 0.05) -> Iterator[None]:
    """Yields until the time is over; the caller returns when its condition holds. Fails otherwise."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        yield
        time.sleep(every_s)
    raise AssertionError(f"it did not happen within {within_s} s")


def cli(environ: Mapping[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line as an operator would, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "neuronetz_gateway", *arguments],
        env=program_environment() | dict(environ),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
