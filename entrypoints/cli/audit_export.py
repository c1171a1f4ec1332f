"""Writes the audit to a file: page by page into a file beside it, which takes its name when it is whole.

So whoever finds the file finds all of it. It tells who called what when: only its owner may read it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from domain.ports.audit_reader import AuditFilter, AuditLine, AuditReader
from entrypoints.cli.audit_lines import csv_head, csv_line, json_line
from entrypoints.cli.problems import Failure

FORMATS: dict[str, tuple[str, Callable[[AuditLine], str]]] = {
    "jsonl": ("", lambda line: f"{json_line(line)}\n"),
    "csv": (csv_head(), csv_line),
}
"""What the file begins with, and how a line is written."""

Told = Callable[[int, float], None]


async def export(reader: AuditReader, wanted: AuditFilter, kind: str, output: Path, told: Told) -> int:
    """Writes all lines, and says how many.

    Args:
        reader: of the audit.
        wanted: which lines.
        kind: of `FORMATS`.
        output: what the file will be called; one that is there is replaced.
        told: how many there are so far, and how much of the time is behind us, 0 to 1.
    """
    head, written = FORMATS[kind]
    count = 0
    with _beside(output) as file:
        file.write(head)
        async with aclosing(reader.everything(wanted)) as pages:  # type: ignore[type-var]  # the port says iterator
            async for page in pages:
                file.writelines(map(written, page.lines))
                count += len(page.lines)
                told(count, page.passed)
    return count


@contextlib.contextmanager
def _beside(output: Path) -> Iterator[IO[str]]:
    """A file in the same folder, 0600, that becomes `output` at the end, or disappears."""
    place = Path(os.path.realpath(output))
    if place.exists() and not place.is_file():
        # Root would put a file in the place of /dev/null.
        raise Failure(f"{output} is a device or a pipe, which a file would replace. Name a file in a folder of yours.")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    except OSError as error:
        raise Failure(f"{output} cannot be written: {error.strerror}. Name a file in a folder of yours.") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(name, place)  # noqa: PTH105  beside mkstemp, which gives names
    except OSError as error:
        raise Failure(f"{output} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)  # noqa: PTH108  as above


@contextlib.contextmanager
def progress() -> Iterator[Told]:
    """A bar with count and rate on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _count, _passed: None
        return
    began_s = time.monotonic()
    columns = [
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]:,} lines"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, count=0, rate=0.0)

        def told(count: int, passed: float) -> None:
            rate = count / max(time.monotonic() - began_s, 0.001)
            bar.update(task, completed=passed, count=count, rate=rate)

        yield told
