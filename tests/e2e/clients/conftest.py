"""One gateway for all libraries, with a small bound on bodies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.clients.troubles import MOST_BODY_BYTES
from tests.e2e.house import House

UNHURRIED = {"LIMITER_TIMEOUT_MS": "3000", "LEDGER_TIMEOUT_S": "3"}
"""On a machine with much else to do, a store that is late would be a 503 that a library tries again unseen."""


@pytest.fixture(scope="module")
def clients_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway and its simulated backend."""
    folder = tmp_path_factory.mktemp("clients")
    with House.open(stores, folder, MAX_BODY_BYTES=str(MOST_BODY_BYTES), **UNHURRIED) as opened:
        opened.add_gateway().wait_ready()
        yield opened
