from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.oracle import Oracle
from tests.fuzz.running import oracle_of, program


@pytest.fixture(scope="session")
def built() -> Iterator[Path | None]:
    with program() as found:
        if found is None and os.environ.get("CI") == "true":
            pytest.fail("the fuzz needs Go (its standard library is enough)")
        yield found


@pytest.fixture
def oracle(built: Path | None) -> Iterator[Oracle]:
    with oracle_of(built) as found:
        yield found


@pytest.fixture
def real_oracle(built: Path | None) -> Iterator[Oracle]:
    if built is None:
        pytest.skip("needs Go")
    with oracle_of(built) as found:
        yield found
