"""Every hostile backend against every dialect, streamed and whole: a clean answer or a clean cut, settled once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.hostile.readers import LIBRARY_ERRORS, library_reads
from tests.e2e.hostile.scripts import SCRIPTS
from tests.e2e.hostile.watching import UNNAMED, Watched

MISTYPED = {
    "counts-a-float", "counts-an-object", "counts-a-huge-float",
    "vectors-of-words", "vectors-in-vectors", "a-vector-that-is-a-text",
}  # fmt: skip
"""Passed on as they are; the libraries themselves refuse such a count or vector with a validation error."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_hostile_backend_gives_a_clean_end(watched: Watched, name: str) -> None:
    expected = SCRIPTS[name].endings
    with ThreadPoolExecutor(len(expected)) as pool:
        heard = dict(zip(expected, pool.map(lambda voice: watched.ask(voice, name), expected), strict=True))

    assert {voice.name: (one.status, one.code) for voice, one in heard.items()} == {
        voice.name: (ends.status, UNNAMED if heard[voice].code == UNNAMED and ends.code else ends.code)
        for voice, ends in expected.items()
    }
    for voice, one in heard.items():
        watched.tells_nothing(one)
        if expected[voice].code is None:
            if name not in MISTYPED:
                assert library_reads(voice, one)
            if b'"model"' in one.octets and name != "two-models-names":
                assert json.dumps(name).encode() in one.octets
        else:
            with pytest.raises(LIBRARY_ERRORS):
                library_reads(voice, one)
        watched.booked(one.request_id, expected[voice])
