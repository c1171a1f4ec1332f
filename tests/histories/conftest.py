"""A house for histories: a database and a Valkey of its own, opened once and emptied for each history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from adapters.redis.scripts import Scripts, read_scripts
from entrypoints.embedded import EmbeddedStores
from tests.histories.books import Books
from tests.histories.house import House, Time
from tests.histories.limiter import Limiter
from tests.histories.machine import STARTS

OpenHouse = Callable[[datetime], House]


def opener(books: Books, redis_url: str, scripts: Scripts) -> Iterator[OpenHouse]:
    """Opens houses, one after the other, over the same connections."""
    time = Time(books, STARTS[0])
    limiter = Limiter(redis_url, scripts, time.now_ms)

    def open_house(start: datetime) -> House:
        time.now, time.skew = start, timedelta(0)
        books.set_clock(start)
        return House(books, limiter, time)

    yield open_house
    limiter.close()


@pytest.fixture
def books(database_url: str) -> Iterator[Books]:
    books = Books(database_url)
    yield books
    books.close()


@pytest.fixture
def open_house(books: Books, stores: EmbeddedStores) -> Iterator[OpenHouse]:
    yield from opener(books, stores.redis_url, read_scripts())
