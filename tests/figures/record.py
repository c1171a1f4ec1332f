"""How a test or a program tells what it has seen of a figure: a line of JSON in the file that `FIGURES_FILE` names.

Without that variable it is told to nobody, so tests may record in passing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.figures.table import Figure

FIGURES_FILE = "FIGURES_FILE"


def record(figure: Figure, seen: str, *, good: bool, how: str = "") -> None:
    """Tells what was seen, in words for a table, whether that is within the target, and how much was tried."""
    file = os.environ.get(FIGURES_FILE)
    if file is None:
        return
    line = json.dumps({"figure": figure.name, "seen": seen, "good": good, "how": how}, ensure_ascii=False)
    with Path(file).open("a", encoding="utf-8") as told:
        told.write(line + "\n")
