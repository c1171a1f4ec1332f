from __future__ import annotations

from collections.abc import Iterator

import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.hostile.backend import HostileBackend
from tests.e2e.hostile.scripts import SCRIPTS
from tests.e2e.hostile.voices import CHATS
from tests.e2e.hostile.watching import Watched


@pytest.fixture(scope="module")
def opened(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One gateway in front of all scripts, warm."""
    with (
        HostileBackend.open({name: one.play for name, one in SCRIPTS.items()}) as backend,
        Watched.open(stores, tmp_path_factory.mktemp("hostile"), backend) as watched,
    ):
        for _ in range(10):
            for voice in CHATS:
                watched.ask(voice, "interim-answers-first")
        watched.settled_bytes = watched.rss_bytes
        yield watched


@pytest.fixture
def watched(opened: Watched) -> Iterator[Watched]:
    """The same; whatever the test did, nothing of it may be left."""
    yield opened
    opened.nothing_is_left()
