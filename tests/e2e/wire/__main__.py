"""`python -m tests.e2e.wire`: the whole corpus each way in. Writes the verdicts, says what is wrong and what it cost.

Ends with status 1 when something is wrong: the tables are then written all the same, to look at the difference.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from entrypoints.embedded import EmbeddedStores, start_stores
from tests.e2e.wire import runs
from tests.e2e.wire.case import allows
from tests.e2e.wire.framings import FRAMINGS
from tests.e2e.wire.matrix import Cell
from tests.e2e.wire.rig import WAYS, Rig, Seen, open_rig
from tests.e2e.wire.verdicts import MATRIX_WAYS, allowed, write_framings, write_matrix


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _cost(rig: Rig, wrong: list[str]) -> tuple[dict[str, Seen], dict[Cell, Seen]]:
    """Everything through one way in, with what memory it took."""
    began = time.monotonic()
    fresh = rig.rss_mib
    wrong += runs.wrongs(dict(runs.bodies_through(rig)))
    warm = rig.rss_mib
    framings = dict(runs.framings_through(rig))
    matrix = dict(runs.matrix_through(rig)) if rig.name in MATRIX_WAYS else {}
    values = dict(runs.values_through(rig)) | dict(runs.spoilt_through(rig))
    wrong += runs.wrongs(dict(runs.bodies_through(rig)))
    wrong += [*runs.wrongs(framings), *runs.wrongs(matrix), *runs.wrongs(values)]
    wrong += [
        f"{name}: {seen.text} is none of {allowed(FRAMINGS[name], rig.name)}"
        for name, seen in framings.items()
        if not allows(allowed(FRAMINGS[name], rig.name), seen.shape)
    ]
    _say(
        f"{rig.name}: {len(framings)} framings, {len(matrix)} requests of the matrix, {len(values)} values in "
        f"{time.monotonic() - began:.0f} s; RSS {fresh:.0f} MiB fresh, {warm:.0f} MiB when every large body had come "
        f"once, {rig.rss_mib:.0f} MiB at the end"
    )
    return framings, matrix


def _through_all(stores: EmbeddedStores, root: Path) -> int:
    framings: dict[str, dict[str, Seen]] = {}
    matrix: dict[str, dict[Cell, Seen]] = {}
    wrong: list[str] = []
    for way in WAYS:
        folder = root / way
        folder.mkdir()
        with open_rig(way, stores, folder) as rig:
            found: list[str] = []
            framings[way], matrix[way] = _cost(rig, found)
            wrong += [f"{way}: {one}" for one in found]
    write_framings(framings)
    write_matrix({way: {cell: seen.told for cell, seen in matrix[way].items()} for way in MATRIX_WAYS})
    for one in wrong:
        _say(one)
    return 1 if wrong else 0


def main() -> int:
    """Runs it on stores of its own."""
    with tempfile.TemporaryDirectory(prefix="nz-wire-", ignore_cleanup_errors=True) as root:
        Path(root).chmod(0o755)  # the servers' own account must be able to pass
        with start_stores(Path(root) / "state", durable=False) as stores:
            return _through_all(stores, Path(root))


if __name__ == "__main__":
    sys.exit(main())
