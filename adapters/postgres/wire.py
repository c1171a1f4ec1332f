"""One connection that asks one prepared statement at a time, as cheaply as psycopg can.

`psycopg.pq` and one permanent reader on the socket: no cursor, no pool, no timer per call, and nothing here that a
cancelled caller could leave half done (a cancelled psycopg pipeline poisons its connection and looks idle). Only the
lane awaits it, and the lane is one task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
from psycopg import pq
from psycopg.pq import abc as pq_abc

from adapters.postgres.address import DatabaseAddress

_STATEMENT = b"ask"
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)


class ConnectionLost(Exception):
    """Nothing is known about what was asked last."""


class StatementFailed(Exception):
    """The server refused; nothing was done. Carries the SQLSTATE."""

    def __init__(self, sqlstate: str, sentence: str) -> None:
        super().__init__(sentence)
        self.sqlstate = sqlstate


class Wire:
    """A connection with its prepared statement. One question at a time."""

    def __init__(self, connection: psycopg.AsyncConnection, on_lost: Callable[[], None]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[bytes] | None = None
        self._result: pq_abc.PGresult | None = None
        self._fd = self._pgconn.socket
        self._pgconn.nonblocking = 1
        self._writing = False
        self._on_lost = on_lost
        self.lost = False
        self._loop.add_reader(self._fd, self._readable)

    @classmethod
    async def open(
        cls,
        address: DatabaseAddress,
        *,
        name: str,
        settings: dict[str, str],
        first: Callable[[psycopg.AsyncConnection], Awaitable[None]],
        statement: str,
        on_lost: Callable[[], None],
    ) -> Wire:
        """Connects, runs what comes `first` and prepares the statement that will be asked.

        Args:
            address: where.
            name: shown in `pg_stat_activity`.
            settings: server settings of the connection.
            first: runs on the new connection before anything else.
            statement: SQL with one text parameter and one text result.
            on_lost: called once, when the connection ends for whatever reason.

        Raises:
            psycopg.Error: not now.
        """
        parameters = address.parameters(name=name, settings=settings)
        connection = await psycopg.AsyncConnection.connect(autocommit=True, prepare_threshold=None, **parameters)
        try:
            await first(connection)
            await connection.execute(f"prepare {_STATEMENT.decode()} (text) as {statement}")
        except BaseException:
            await connection.close()
            raise
        return cls(connection, on_lost)

    async def ask(self, question: bytes, *, patience_s: float) -> bytes:
        """Sends the question and returns the answer's one value.

        Raises:
            ConnectionLost: no answer came; whether it was done is not known.
            StatementFailed: it was refused and rolled back.
        """
        if self.lost:
            raise ConnectionLost("The connection is gone.")
        self._answer = self._loop.create_future()
        try:
            self._pgconn.send_query_prepared(_STATEMENT, [question])
            self._writable()
        except psycopg.Error as error:
            self._lose(error)
        timer = self._loop.call_later(patience_s, self._lose, TimeoutError(f"No answer for {patience_s} s."))
        try:
            return await self._answer
        finally:
            timer.cancel()
            self._answer = None

    def close(self) -> None:
        """Lets go of the connection, whatever is under way on it."""
        self._lose(ConnectionLost("closed"))

    def _readable(self) -> None:
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    self._deliver()
                    return
                self._result = result
        except psycopg.Error as error:
            self._lose(error)

    def _deliver(self) -> None:
        result, self._result = self._result, None
        if self._answer is None or self._answer.done() or result is None:
            return
        if result.status == pq.ExecStatus.TUPLES_OK:
            self._answer.set_result(result.get_value(0, 0) or b"")
        elif self._pgconn.status == pq.ConnStatus.BAD:
            self._lose(psycopg.OperationalError("The server ended the connection."))
        else:
            self._answer.set_exception(_refusal(result))

    def _writable(self) -> None:
        try:
            unsent = self._pgconn.flush() == 1
        except psycopg.Error as error:
            self._lose(error)
            return
        if unsent and not self._writing:
            self._loop.add_writer(self._fd, self._writable)
        elif self._writing and not unsent:
            self._loop.remove_writer(self._fd)
        self._writing = unsent

    def _lose(self, why: Exception) -> None:
        if not self.lost:
            self.lost = True
            self._loop.remove_reader(self._fd)
            if self._writing:
                self._loop.remove_writer(self._fd)
            self._pgconn.finish()
            self._on_lost()
        if self._answer is not None and not self._answer.done():
            lost = ConnectionLost("The connection to PostgreSQL was lost.")
            lost.__cause__ = why
            self._answer.set_exception(lost)


def _refusal(result: pq_abc.PGresult) -> StatementFailed:
    sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    sentence = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
    return StatementFailed(sqlstate, sentence or f"The server answered {result.status}.")
