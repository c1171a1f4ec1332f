r"""Files of `NAME=value` lines: read as the shell reads them, and one variable changed with everything else kept.

Reading follows what `sh` (`set -a; . ./.env`) and `docker compose` agree on::

    NAME=bare text  # comment      up to a blank followed by `#`; blanks at the ends are dropped
    NAME='as it stands'            nothing is special; may span lines
    NAME="with \" \\ \$ and \n"    backslash escapes; may span lines
    export NAME=value              the same
    # comment

The last of several lines for one name wins. A `$` is a `$`: nothing is expanded. Lines of any other form are somebody
else's and are passed over.

Writing replaces the whole file or nothing: a temporary file in the same directory is filled, given mode and owner of
the old one, flushed to disk and renamed over it, and the directory is flushed. Whoever is killed on the way leaves the
old file or the new one, and at worst a temporary file of mode 0600, which the next write removes. Writers exclude one
another by a lock on the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

_NEW_FILE_MODE = 0o600
_SUFFIX = ".neuronetz-tmp"
_HEAD = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=", re.ASCII)
_BLANKS = re.compile(r"[ \t]*")
_COMMENT = re.compile(r"[ \t]+#")
_PIECE = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|\\(?P<escaped>[^\r\n])|(?P<bare>[^\s'"\\])""", re.DOTALL
)
_REST_OF_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\n": "", "\\": "\\", '"': '"', "$": "$", "`": "`"}
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9_./:@%+,-]*", re.ASCII)


class EnvFileError(Exception):
    """The file cannot be read or changed; says why, and what would help."""


@attrs.frozen(kw_only=True)
class _Assignment:
    """One `NAME=value`, and where in the text it stands."""

    name: str
    value: str
    line: tuple[int, int]
    """From the start of its first line to the start of the next."""
    raw_value: tuple[int, int]
    """The value as written, with its quotes and without its comment."""


def read(path: Path) -> dict[str, str]:
    """What a file sets.

    Raises:
        EnvFileError: it cannot be read, or a quote in it is not closed.
    """
    return {found.name: found.value for found in _assignments(_load(path), path)}


def rewrite(path: Path, name: str, new_value: Callable[[str | None], str]) -> bool:
    """Sets one variable in place and keeps every other byte. Says whether anything was written.

    An existing line keeps its place, `export` and comment. Of several the last is changed, because that is the one
    that counts, and the others go, because they may hold a former secret. A missing file is made, for its owner only.
    A link stays a link; the file it names is changed.

    Args:
        path: the file.
        name: the variable.
        new_value: takes the present value, or None, and gives the new one. Called under the lock.

    Raises:
        EnvFileError: the file cannot be read or changed; it is then as it was.
    """
    target = _target(path)
    try:
        with _alone_in(target.parent):
            _remove_leftovers(target)
            old = _load(target) if target.exists() else None
            present = [found for found in _assignments(old or "", target) if found.name == name]
            value = new_value(present[-1].value if present else None)
            if len(present) == 1 and present[0].value == value:
                return False
            _replace(target, _changed(old or "", present, name, value))
            return True
    except OSError as error:
        raise EnvFileError(f"{path} cannot be changed: {error.strerror}; check its directory and owner.") from error


def quoted(value: str) -> str:
    """A value as it can stand after `NAME=`, for our reader and for `sh`.

    A value without single quotes is the same to `docker compose` too; so is one that has them but no backslash,
    double quote, dollar or backtick.

    Raises:
        ValueError: it has a line break or a NUL, which not every reader takes.
    """
    if any(character in value for character in "\0\r\n"):
        raise ValueError("a value in an environment file cannot hold line breaks or NUL")
    if value and _NEEDS_NO_QUOTES.fullmatch(value):
        return value
    if "'" not in value:
        return f"'{value}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", value)
    return f'"{escaped}"'


def _load(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise EnvFileError(f"{path} is not a regular file; name a file of NAME=value lines.")
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise EnvFileError(f"{path} cannot be read: {error.strerror}; check the name and its mode.") from error


def _assignments(text: str, path: Path) -> Iterator[_Assignment]:
    position = 1 if text.startswith("\ufeff") else 0
    while position < len(text):
        head = _HEAD.match(text, position)
        if head is None:
            position = _end(_REST_OF_LINE, text, position)
            continue
        value, raw_value = _value(text, head.end(), path)
        line_end = _end(_REST_OF_LINE, text, raw_value[1])
        yield _Assignment(name=head["name"], value=value, line=(position, line_end), raw_value=raw_value)
        position = line_end


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return len(text) if found is None else found.end()


def _value(text: str, start: int, path: Path) -> tuple[str, tuple[int, int]]:
    """The value after the `=` at `start`, and where it stands."""
    begin = _end(_BLANKS, text, start)
    if text[begin : begin + 1] in ("'", '"'):
        return _quoted_value(text, begin, path)
    bare = _REST_OF_LINE.match(text, start)
    line = bare[0].rstrip("\r\n") if bare else ""
    comment = _COMMENT.search(line)
    value = line[: comment.start() if comment else None].strip(" \t")
    begin = begin if value else start
    return value, (begin, begin + len(value))


def _quoted_value(text: str, begin: int, path: Path) -> tuple[str, tuple[int, int]]:
    r"""Pieces up to the next blank, joined as the shell joins them: 'it'\''s' is it's."""
    position, pieces = begin, []
    while piece := _PIECE.match(text, position):
        escaped_quote = piece["double"]
        pieces.append(
            piece["single"] or piece["escaped"] or piece["bare"] or ""
            if escaped_quote is None
            else _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[0]), escaped_quote)
        )
        position = piece.end()
    if text[position : position + 1] not in ("", " ", "\t", "\r", "\n"):
        line = text.count("\n", 0, position) + 1
        raise EnvFileError(f"{path}, line {line}: a quote is not closed; close it, or escape what is not a quote.")
    return "".join(pieces), (begin, position)


def _changed(text: str, present: list[_Assignment], name: str, value: str) -> str:
    if not present:
        newline = "\r\n" if "\r\n" in text else "\n"
        gap = newline if text and not text.endswith("\n") else ""
        return f"{text}{gap}{name}={quoted(value)}{newline}"
    *former, last = present
    start, end = last.raw_value
    text = text[:start] + quoted(value) + text[end:]
    for found in reversed(former):
        text = text[: found.line[0]] + text[found.line[1] :]
    return text


def _target(path: Path) -> Path:
    try:
        target = path.resolve()
        mode = target.stat().st_mode
    except FileNotFoundError:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise EnvFileError(f"{path} cannot be reached; check the links and directories on the way.") from error
    if not stat.S_ISREG(mode):
        raise EnvFileError(f"{path} is not a regular file; name a file of NAME=value lines.")
    return target


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove_leftovers(target: Path) -> None:
    for leftover in target.parent.iterdir():
        if leftover.name.startswith(f".{target.name}.") and leftover.name.endswith(_SUFFIX):
            leftover.unlink()


def _replace(target: Path, text: str) -> None:
    temporary = target.parent / f".{target.name}.{secrets.token_hex(8)}{_SUFFIX}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _NEW_FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            _take_over(target, descriptor)
            os.fsync(descriptor)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_directory(target.parent)


def _take_over(target: Path, descriptor: int) -> None:
    """Gives the new file mode and owner of the old one, if there is one."""
    try:
        old = target.stat()
    except FileNotFoundError:
        return
    new = os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
