"""The gateways of a long run: one program of two processes where there is such a thing, else two programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from tests.bench.accounts import children
from tests.bench.stage import knows_setting, metrics_address
from tests.e2e.house import House
from tests.e2e.programs import Gateway

_KEPT_LOG_BYTES = 32 * 1024 * 1024


@attrs.frozen(kw_only=True)
class Troupe:
    """Gateways that are ready."""

    gateways: Sequence[Gateway]
    metrics_urls: Sequence[str]

    @property
    def pids(self) -> Sequence[int]:
        """Of the processes that serve."""
        if len(self.gateways) == 1 and (served_by := children(self.gateways[0].pid)):
            return served_by
        return [gateway.pid for gateway in self.gateways]

    @property
    def urls(self) -> Sequence[str]:
        """Where they are reached."""
        return [gateway.url for gateway in self.gateways]


def start_troupe(house: House, count: int) -> Troupe:
    """Starts so many gateway processes."""
    programs = [{"PROCESSES": str(count)}] if knows_setting("PROCESSES") else [{} for _ in range(count)]
    gateways, urls = [], []
    for settings in programs:
        url, bind = metrics_address()
        gateway = house.add_gateway(**settings, **bind)
        gateways.append(gateway)
        urls += [url] if url else []
    for gateway in gateways:
        gateway.wait_ready()
    return Troupe(gateways=gateways, metrics_urls=urls)


@attrs.define
class LogReader:
    """Reads a program's log as it grows, and keeps its file small."""

    place: Path
    grave: dict[str, int] = attrs.field(factory=dict)
    """Warnings and worse: event -> how often."""
    _read_bytes: int = 0

    def read(self) -> None:
        """Takes in what is new. A file that has grown large is emptied; a line written in that instant may be lost."""
        with self.place.open("r+b") as file:
            file.seek(self._read_bytes)
            lines = file.read()
            whole = lines[: lines.rfind(b"\n") + 1]
            self._read_bytes += len(whole)
            if self._read_bytes > _KEPT_LOG_BYTES and whole == lines:
                file.truncate(0)  # it is written by appending, so this is safe while it runs
                self._read_bytes = 0
        for line in whole.splitlines():
            if b'"level":"info"' not in line and b'"level":"debug"' not in line:
                self._note(line)

    def _note(self, line: bytes) -> None:
        event = line.partition(b'"event":"')[2].partition(b'"')[0].decode(errors="replace")
        level = line.partition(b'"level":"')[2].partition(b'"')[0].decode(errors="replace")
        name = f"{level or 'plain'}: {event or line[:120].decode(errors='replace')}"
        self.grave[name] = self.grave.get(name, 0) + 1
