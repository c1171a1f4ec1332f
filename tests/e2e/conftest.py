"""The whole gateway as a user meets it: real stores, a simulated backend, gateway processes, sockets between them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House
from tests.e2e.programs import ROOT


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway in front of one simulated backend, on a database of its own."""
    folder: Path = tmp_path_factory.mktemp("house")
    with House.open(stores, folder) as opened:
        opened.add_gateway().wait_ready()
        yield opened


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the JavaScript clients installed."""
    npm = shutil.which("npm")
    if npm is None:
        if os.environ.get("CI") == "true":
            pytest.fail("npm must be there under CI")
        pytest.skip("there is no npm here")
    folder = tmp_path_factory.mktemp("javascript")
    shutil.copy(ROOT / "tests" / "e2e" / "javascript" / "package.json", folder)
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run([npm, "install", *options], cwd=folder, check=True, timeout=100, capture_output=True)
    return folder
