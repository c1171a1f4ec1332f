"""A line to the store that can lose replies, hold them back, and break."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs


@attrs.define
class BadLine:
    """Listens on `near` and passes on to `far`, both unix sockets."""

    near: Path
    far: Path
    loses_replies: bool = False
    holds_replies_s: float = 0.0
    refuses: bool = False
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = attrs.field(factory=set)
    _pumps: set[asyncio.Task[None]] = attrs.field(factory=set)

    @property
    def url(self) -> str:
        return f"unix://{self.near}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._pass_on, str(self.near))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.break_now()
        if self._pumps:
            await asyncio.wait(self._pumps)
        await asyncio.sleep(0.01)

    def break_now(self) -> None:
        for writer in self._open:
            writer.close()
        self._open.clear()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_unix_connection(str(self.far))
        self._open |= {writer, far_writer}
        for pump in (self._pump(reader, far_writer), self._pump(far_reader, writer, replies=True)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool = False) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                if replies and self.holds_replies_s:
                    await asyncio.sleep(self.holds_replies_s)
                if not (replies and self.loses_replies):
                    writer.write(chunk)
                    await writer.drain()
        writer.close()
