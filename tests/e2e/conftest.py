"""The whole gateway as a user meets it: real stores, a simulated backend, gateway processes, sockets between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway in front of one simulated backend, on a database of its own."""
    folder: Path = tmp_path_factory.mktemp("house")
    with House.open(stores, folder) as opened:
        opened.add_gateway().wait_ready()
        yield opened
