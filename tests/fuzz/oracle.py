"""What Go sees in a body: asked of the real `encoding/json` where there is Go, of the port where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tests.fuzz import port

Question = tuple[str, bytes]
"""A path and a body."""
_SOURCE = Path(__file__).parent / "go" / "decode.go"
_BUILD_S = 300


class Oracle(Protocol):
    """Answers many questions at once."""

    def __call__(self, questions: Sequence[Question]) -> list[dict[str, Any]]:
        """For each an `error` and what was `seen`."""


def ask_port(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """The oracle in Python."""
    return [port.seen(path, body) for path, body in questions]


def go() -> str | None:
    """The Go command, if there is one."""
    return shutil.which("go")


def build(folder: Path) -> Path:
    """Builds the program, with Go's standard library alone and nothing fetched."""
    command, program = go(), folder / "decode"
    if command is None:
        raise FileNotFoundError("there is no Go on this machine")
    own = {"GO111MODULE": "off", "GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    own["GOPATH"] = str(folder / "path")
    subprocess.run(
        [command, "build", "-o", str(program), str(_SOURCE)],
        env=os.environ | own, check=True, timeout=_BUILD_S,
    )  # fmt: skip
    return program


@contextmanager
def asking(program: Path) -> Iterator[Oracle]:
    """Go's own decoder, in a process that lives as long."""
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        into, out = process.stdin, process.stdout
        if into is None or out is None:
            raise AssertionError("both were piped")

        def ask(questions: Sequence[Question]) -> list[dict[str, Any]]:
            into.write(b"%d\n" % len(questions))
            into.writelines(b"%s %d\n%s" % (path.encode(), len(body), body) for path, body in questions)
            into.flush()
            return [msgspec.json.decode(out.readline()) for _ in questions]

        try:
            yield ask
        finally:
            into.close()
