"""The replicas, once a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.revocation.replicas import Replicas


@pytest.fixture(scope="module")
def replicas(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    with Replicas.open(stores, tmp_path_factory.mktemp("replicas")) as opened:
        yield opened
