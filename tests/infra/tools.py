"""The programs that tests of `infra/` need. A missing one may skip here; under CI it fails."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.programs import ROOT

INFRA = ROOT / "infra"


def found(name: str) -> str | None:
    """Where a program is: named by NAME_TEST_BIN, beside our Python, or on PATH; None if it is nowhere."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return os.environ.get(f"{name.upper()}_TEST_BIN") or shutil.which(name, path=path)


def tool(name: str, *, package: str) -> str:
    """Where a program is that a test cannot do without.

    Args:
        name: of the program.
        package: what to install when it is missing.
    """
    where = found(name)
    if where is not None:
        return where
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} must be there under CI: install {package}")
    pytest.skip(f"{name} is missing: install {package}")
