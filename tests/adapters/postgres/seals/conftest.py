"""A sealed audit around a test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.adapters.postgres.seals.sealing import Sealing, sealing_of


@pytest.fixture
async def sealing(database_url: str) -> AsyncIterator[Sealing]:
    async with sealing_of(database_url) as opened:
        yield opened
