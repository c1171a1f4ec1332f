"""Whether the time that a 401 takes tells what was wrong with the key."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Mapping
from itertools import combinations
from urllib.parse import urlsplit

from tests.strangers.bad_keys import KINDS
from tests.strangers.pairs import Difference, difference

_WARM = 100
_MALFORMED = "malformed"
_HEAD_END = b"\r\n\r\n"


def _key(kind: str, good: str, chance: random.Random) -> str:
    """All are of one length, so that the wire carries as much of each."""
    if kind == _MALFORMED:
        place = chance.randrange(11, len(good))
        return f"{good[:place]}-{good[place + 1 :]}"
    return KINDS[kind](good, chance)


def measured(url: str, good: str, rounds: int) -> Mapping[tuple[str, str], Difference]:
    """Each kind against each other, in microseconds; in every round all of them in random order on one connection."""
    chance = random.Random(13)  # noqa: S311  not a secret; the same every time
    kinds = list(KINDS)
    took_us: dict[str, list[float]] = {kind: [] for kind in kinds}
    # made beforehand: kinds take unlike times to make, and a gateway that has lain idle for longer answers later
    turns = [
        [(kind, _key(kind, good, chance)) for kind in chance.sample(kinds, len(kinds))] for _ in range(_WARM + rounds)
    ]
    with socket.create_connection((str(urlsplit(url).hostname), int(urlsplit(url).port or 80)), timeout=10) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for turn in turns:
            for kind, key in turn:
                took_us[kind].append(_one_us(wire, url, key))
    took_us = {kind: took[_WARM:] for kind, took in took_us.items()}
    return {(one, other): difference(took_us[one], took_us[other]) for one, other in combinations(kinds, 2)}


def _one_us(wire: socket.socket, url: str, key: str) -> float:
    request = f"GET /v1/models HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    began_s = time.perf_counter()
    wire.sendall(request)
    answer = wire.recv(65536)
    while _HEAD_END not in answer:
        answer += wire.recv(65536)
    head, _, body = answer.partition(_HEAD_END)
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += wire.recv(65536)
    took_s = time.perf_counter() - began_s
    if not head.startswith(b"HTTP/1.1 401"):
        raise AssertionError(f"a bad key was told {head[:40]!r}")
    return took_s * 1e6
