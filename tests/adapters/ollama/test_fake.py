from __future__ import annotations

import asyncio

import pytest

from domain.faults import BackendFailed, BackendUnreachable
from domain.refusals import BackendRejected
from domain.tally import Piece
from tests.contracts.model_backend import ModelBackendContract, upstream
from tests.fakes.model_backend import FakeModelBackend, Scene, words


class TestTheFake(ModelBackendContract):
    @pytest.fixture
    def backend(self) -> FakeModelBackend:
        self.fake = FakeModelBackend()
        return self.fake

    async def fail_next(self, how: str) -> None:
        some = words(upstream(), 3)
        self.fake.play(
            {
                "rejected": Scene(refuses=BackendRejected(400, "No.")),
                "unreachable": Scene(refuses=BackendUnreachable()),
                "breaks": Scene(pieces=some, breaks=BackendFailed()),
                "guard": Scene(pieces=some),
                "error": Scene(pieces=[*some, Piece(b"", error="It failed.")]),
                "silent": Scene(waits=asyncio.Event()),
                "endless": Scene(pieces=words(upstream(), 1000)),
            }[how]
        )
