"""The log of truth: what each request asked, what work it caused, how it ended.

Bills are checked against this log, so it must survive what the tests do to the server. Every event is one line of
JSON, handed to the kernel in one `write` on a file opened for appending: lines of several servers do not mix, and a
SIGKILL loses nothing that was written. Work is logged before its bytes are sent, so the log never states less than a
client received.

    {"event":"start", ...}       the request as it came
    {"event":"prompt", ...}      the prompt has been evaluated
    {"event":"tokens", ...}      so many tokens have been produced so far
    {"event":"end", ...}         how it ended

`read_log` folds the lines of a file into entries again. One without its end belongs to a server that died.
"""

import enum
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

import attrs
import msgspec


class Ended(enum.StrEnum):
    """How a request ended, seen from the server."""

    RUNNING = "running"
    DONE = "done"  # generated or embedded to its natural end or cap
    ANSWERED = "answered"  # nothing to generate: reads, loads, unloads, mutations
    REFUSED = "refused"  # an error status before any generation
    HANG_UP = "hang-up"  # the client left; `phase` and `hang_up_by` say when and how
    SCRIPTED = "scripted"  # a behaviour broke it off or replaced it
    STOPPED = "stopped"  # the server was stopped in an orderly way
    CRASHED = "crashed"  # a fault of the simulator itself
    DIED = "died"  # the server was killed; only `read_log` says so


@attrs.define(kw_only=True)
class Entry:
    """One request.

    Args:
        id: unique among all servers that share a log.
        sequence: order of arrival in one server, from 1.
        kind: inference, read, mutation, health or unknown.
        request_id: the `x-request-id` received, or None.
        headers: names and values as received, in order.
        body: the parsed body; text if it was no JSON; None if there was none.
        max_tokens: the cap received (`num_predict`, `max_tokens`), None if none.
        prompt_tokens: evaluated by the runner; a hang-up while evaluating still costs all of them.
        output_tokens: produced so far.
        phase: where it is or was: reading, loading, queued, prompt, generating, sending.
        hang_up_by: "fin" or "rst" when the client left.
        status: sent or meant to be sent; 0 if none yet.
        behaviour: the scripted oddities, empty for a healthy answer.
    """

    id: str
    sequence: int
    server_pid: int
    started_at_s: float  # Unix time
    method: str
    path: str
    kind: str
    request_id: str | None = None
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    body: Any = None
    model: str = ""
    max_tokens: int | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    phase: str = "reading"
    ended: Ended = Ended.RUNNING
    hang_up_by: str = ""
    status: int = 0
    behaviour: dict[str, Any] = attrs.field(factory=dict)
    ended_at_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as plain JSON values."""
        return {field.name: getattr(self, field.name) for field in attrs.fields(Entry)}


_END_FIELDS = (
    "model",
    "max_tokens",
    "prompt_tokens",
    "output_tokens",
    "phase",
    "ended",
    "hang_up_by",
    "status",
    "behaviour",
    "ended_at_s",
)


class TruthLog:
    """Entries of one server, in memory and, if `path` is given, in a file.

    Args:
        path: file to append to; None keeps the log in memory only.
        keep_entries: newest entries kept in memory; the file has all.
        tokens_per_line: a "tokens" line for every so many tokens; 0 for none.
    """

    def __init__(self, path: Path | None = None, *, keep_entries: int = 100_000, tokens_per_line: int = 1) -> None:
        self.entries: deque[Entry] = deque(maxlen=keep_entries)
        self._path = path
        self._fd = -1
        self._tokens_per_line = tokens_per_line if path else 0
        self._run = f"{os.getpid()}-{time.time_ns():x}"
        self._sequence = 0

    def start(
        self, *, method: str, path: str, kind: str, headers: list[tuple[str, str]], request_id: str | None
    ) -> Entry:
        """Begin the entry of a request that has just arrived."""
        self._sequence += 1
        entry = Entry(
            id=f"{self._run}-{self._sequence}",
            sequence=self._sequence,
            server_pid=os.getpid(),
            started_at_s=time.time(),
            method=method,
            path=path,
            kind=kind,
            headers=headers,
            request_id=request_id,
        )
        self.entries.append(entry)
        return entry

    def received(self, entry: Entry, body: Any) -> None:
        """Note the body; with it the request is complete and its first line is written."""
        entry.body = body
        if self._path:
            self._write("start", entry.as_json())

    def evaluated(self, entry: Entry, prompt_tokens: int) -> None:
        """Note that the runner evaluates, or has evaluated, the whole prompt."""
        entry.prompt_tokens = prompt_tokens
        if self._path:
            self._write("prompt", {"id": entry.id, "prompt_tokens": prompt_tokens})

    def produced(self, entry: Entry, output_tokens: int) -> None:
        """Note the number of tokens produced so far; called before their bytes are sent."""
        entry.output_tokens = output_tokens
        if self._tokens_per_line and output_tokens % self._tokens_per_line == 0:
            self._write("tokens", {"id": entry.id, "output_tokens": output_tokens})

    def end(self, entry: Entry, ended: Ended, *, hang_up_by: str = "") -> None:
        """Note how the request ended; the first word stands."""
        if entry.ended is not Ended.RUNNING:
            return
        entry.ended = ended
        entry.hang_up_by = hang_up_by
        entry.ended_at_s = time.time()
        if self._path:
            self._write("end", {"id": entry.id, **{name: getattr(entry, name) for name in _END_FIELDS}})

    def forget(self) -> None:
        """Drop the entries in memory that have ended."""
        running = [entry for entry in self.entries if entry.ended is Ended.RUNNING]
        self.entries.clear()
        self.entries.extend(running)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        if self._fd < 0 and self._path:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.write(self._fd, msgspec.json.encode({"event": event, **fields}) + b"\n")


def read_log(path: Path) -> list[Entry]:
    """Fold a log file into entries, in order of arrival; those without an end have died with their server."""
    entries: dict[str, Entry] = {}
    for line in path.read_bytes().splitlines():
        fields: dict[str, Any] = msgspec.json.decode(line)
        event = fields.pop("event")
        if event == "start":
            entries[fields["id"]] = Entry(**{**fields, "headers": [tuple(pair) for pair in fields["headers"]]})
        elif fields["id"] in entries:
            entry = entries[fields["id"]]
            for name, value in fields.items():
                setattr(entry, name, value)
    for entry in entries.values():
        running = entry.ended == Ended.RUNNING
        entry.ended = Ended.DIED if running else Ended(entry.ended)
    return list(entries.values())
