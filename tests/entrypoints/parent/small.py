"""The real parent with small children: the same program, which only speaks on the line, as it is told to behave.

python small.py FOLDER                  the parent; FOLDER/behaviour says what children do, FOLDER/problem what
                                        preparing finds wrong
python small.py FOLDER serve-prepare    as the parent starts them
python small.py FOLDER serve-child ...
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

_HEAD = struct.Struct("!BI")
_LISTENING, _LEAVING, _METRICS, _LEAVE = 1, 2, 3, 4
_PR_SET_CHILD_SUBREAPER = 36  # Source: linux/prctl.h


def parent(folder: Path) -> None:
    from entrypoints.cli.printing import complain  # noqa: PLC0415  children load none of it
    from entrypoints.observing import set_up_logs  # noqa: PLC0415  as above
    from entrypoints.parent import keeping  # noqa: PLC0415  as above
    from entrypoints.settings import Settings  # noqa: PLC0415  as above

    # As the first process of a container would: orphans become ours.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def settings() -> Settings:
        return Settings.from_environment(dict(os.environ), folder / "settings")

    set_up_logs(settings().log_level, settings().log_format)
    program = [sys.executable, __file__, str(folder)]
    orders = keeping.Orders(
        settings=settings(), reread=settings, program=program, stop_margin_s=0.5, start_patience_s=3.0
    )
    try:
        keeping.keep(orders)
    except Exception as error:  # noqa: BLE001  told as the command line would
        complain(str(error))
        sys.exit(1)


def prepare(folder: Path) -> None:
    problem = (folder / "problem").read_text()
    print(problem)  # noqa: T201  the parent reads it
    sys.exit(1 if problem else 0)


def child(folder: Path, place: int, line: socket.socket) -> None:
    behaviour = (folder / "behaviour").read_text()
    if behaviour == "cannot start":
        sys.exit(3)
    if behaviour == "leaves an orphan":
        subprocess.Popen(["/bin/sh", "-c", "sleep 0.3 & echo $! > orphan"], cwd=folder)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else lambda *_: _leave(line))
    if behaviour == "never listens":
        (folder / "hangs").touch()
    else:
        line.sendall(_HEAD.pack(_LISTENING, 0))
    if behaviour == "dies":
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    while head := line.recv(_HEAD.size):
        if head[0] == _LEAVE and behaviour != "deaf":
            _leave(line)
        if head[0] == _METRICS:
            told = f'# HELP seen_total Seen.\n# TYPE seen_total counter\nseen_total{{a="b"}} {place}.0\n'.encode()
            line.sendall(_HEAD.pack(200, 3) + b"new" + _HEAD.pack(_METRICS, len(told)) + told)


def _leave(line: socket.socket) -> None:
    line.sendall(_HEAD.pack(_LEAVING, 0))
    sys.exit(0)


def main() -> None:
    folder = Path(sys.argv[1])
    if len(sys.argv) == 2:
        parent(folder)
    elif sys.argv[2] == "serve-prepare":
        prepare(folder)
    else:
        given = dict(zip(sys.argv[3:], sys.argv[4:], strict=False))
        child(folder, int(given["--place"]), socket.socket(fileno=int(given["--line-fd"])))


if __name__ == "__main__":
    main()
