"""Sealers that are killed at any instant, one after the other: `python -m ... URL SECONDS`. Prints what they told.

Each is a fork of this program, so that a life may be some tens of milliseconds long.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time

import structlog

from adapters.postgres.audit_seals import PostgresAuditSeals
from adapters.system.clock import SystemClock
from application.seal_audit import SealAudit
from tests.adapters.postgres.seals.sealing import KEY, pool_of

LEAST_KILLS = 8


def _bytes(event: object, **_options: object) -> bytes:
    return json.dumps(event, default=str).encode()


async def seal(url: str, born: int) -> None:
    async with pool_of(url) as pool:
        await pool.open()
        os.write(born, b"!")
        await SealAudit(seals=PostgresAuditSeals(pool), key=KEY, clock=SystemClock(), every_s=0.001).run()


def main(url: str, seconds: float) -> None:
    # Told in one write each: a line that is cut short by a kill would be half an anchor.
    structlog.configure(
        processors=[structlog.processors.JSONRenderer(serializer=_bytes)],
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
    )
    end_s = time.monotonic() + seconds
    kills = 0
    while time.monotonic() < end_s or kills < LEAST_KILLS:
        wait_for, born = os.pipe()
        child = os.fork()
        if child == 0:
            asyncio.run(seal(url, born))
        os.read(wait_for, 1)  # from its connection on, so that on a busy machine it comes to something, too
        os.close(wait_for)
        os.close(born)
        time.sleep(random.uniform(0.0, 0.3))  # noqa: S311  any instant will do
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    sys.stderr.write(f"{kills}\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
