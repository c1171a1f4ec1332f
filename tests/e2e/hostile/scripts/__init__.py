"""The table: what a backend does, and how a call of it must end, in each dialect, streamed and whole.

Each script is a model's name. Every ending is one a client understands: a good answer, an error status, or an error
inside the stream that makes its SDK raise.
"""

from __future__ import annotations

from tests.e2e.hostile.scripts import counts, dialects, echoes, sayings, sizes, timing, wire
from tests.e2e.hostile.scripts.table import METADATA, MIB, SCRIPTS, Ends, Script

__all__ = [
    "METADATA",
    "MIB",
    "SCRIPTS",
    "Ends",
    "Script",
    "counts",
    "dialects",
    "echoes",
    "sayings",
    "sizes",
    "timing",
    "wire",
]
