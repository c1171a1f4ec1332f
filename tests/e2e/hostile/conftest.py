from __future__ import annotations

from collections.abc import Iterator

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.hostile.backend import HostileBackend
from tests.e2e.hostile.scripts import SCRIPTS
from tests.e2e.hostile.voices import CHATS
from tests.e2e.hostile.watching import MOST_GROWTH_BYTES, Watched
from tests.figures.record import record
from tests.figures.table import Figure


@pytest.fixture(scope="module")
def opened(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One gateway in front of all scripts, warm."""
    with (
        HostileBackend.open({name: one.play for name, one in SCRIPTS.items()}) as backend,
        # The loop may be busy with a flood for longer than the limiter is given by default.
        Watched.open(stores, tmp_path_factory.mktemp("hostile"), backend, LIMITER_TIMEOUT_MS="1000") as watched,
    ):
        for _ in range(10):
            for voice in CHATS:
                watched.ask(voice, "interim-answers-first")
        watched.settled_bytes = watched.rss_bytes
        yield watched
        grown_mib = (watched.rss_bytes - watched.settled_bytes) / 2**20
        good = grown_mib <= MOST_GROWTH_BYTES / 2**20 and len(SCRIPTS) >= 25
        record(Figure.HOSTILE_BACKENDS, f"{len(SCRIPTS)}, {grown_mib:.0f} MiB", good=good, how="RSS after all of them")


@pytest.fixture
def watched(opened: Watched) -> Iterator[Watched]:
    """The same; whatever the test did, nothing of it may be left."""
    yield opened
    opened.nothing_is_left()
