"""A program that owns embedded stores until it is ended: the parent in tests about the death of parents.

    owner.py STATE_DIR [UID]

Writes one line for each step ("step ..."), then one with the URLs and pids as JSON, then waits. With UID it
becomes that user first; it is already loaded by then, so the user need not be able to read our interpreter.
"""

import json
import os
import signal
import sys
from pathlib import Path

from entrypoints.embedded import start_stores


def main(state_dir: str, uid: str = "") -> None:
    if uid:
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    with start_stores(Path(state_dir), durable=False, on_step=lambda step: say(f"step {step}")) as stores:
        pids = [stores.postgres.pid, stores.valkey.pid]
        say(json.dumps({"database_url": stores.database_url, "redis_url": stores.redis_url, "pids": pids}))
        signal.pause()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
