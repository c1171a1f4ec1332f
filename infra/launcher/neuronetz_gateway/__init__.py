"""The launcher: makes the gateway's packages importable by their plain names, then calls the CLI.

In the wheel the packages `domain`, `application`, `adapters`, `entrypoints` and `migrations` lie under the private
root `_app` beside this file, so that nothing generic is put into site-packages; in a working copy they are folders
of the repository. Either root goes **first** on the import path, because some of these names are also projects on
PyPI (docs/decisions.md, "Packaging").
"""

from __future__ import annotations

import sys
from pathlib import Path

_here = Path(__file__).resolve().parent
_private_root = _here / "_app"
ROOT = _private_root if _private_root.is_dir() else _here.parents[2]
"""The folder that holds `domain/`, `migrations/` and the rest."""

if str(ROOT) not in sys.path[:1]:
    sys.path.insert(0, str(ROOT))


def main() -> None:
    """Run the command line."""
    from entrypoints.cli import main as command_line  # noqa: PLC0415  after the path is set

    command_line()
