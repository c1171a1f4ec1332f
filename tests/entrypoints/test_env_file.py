"""Files of NAME=value lines: what is read, what is kept, what a crash leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.keys import Secret
from entrypoints.backend_list import BackendSettings, read_backends, written
from entrypoints.env_file import EnvFileError, quoted, read, rewrite

ROOT = Path(__file__).parents[2]
ONE_LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=30)
TOKENS = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True)


def file_with(directory: Path, text: str) -> Path:
    path = directory / ".env"
    path.write_bytes(text.encode())
    return path


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def put(path: Path, value: str, name: str = "X") -> bool:
    return rewrite(path, name, lambda _present: value)


def by_shell(path: Path, name: str) -> str:
    """What `sh` makes of it."""
    script = f'set -a; . "$0"; printf %s "${name}"'
    shell = subprocess.run(["/bin/sh", "-c", script, str(path)], check=True, capture_output=True)
    return shell.stdout.decode()


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X=plain", "plain"),
        ("X= spaced out  ", "spaced out"),
        ("  export   X=1", "1"),
        ("X =1", "1"),
        ("X=a # comment", "a"),
        ("X=a#b", "a#b"),
        ("X=#b", "#b"),
        ("X= # comment", ""),
        ("X=", ""),
        ("X='a # b' # c", "a # b"),
        ("X='a\\nb$c'", "a\\nb$c"),
        ('X="a\\nb\\"c\\\\d\\$e\\q"', 'a\nb"c\\d$e\\q'),
        ("X='two\nY=lines'", "two\nY=lines"),
        ("X='it'\\''s'", "it's"),
        ("X=''", ""),
        ("X=1\r", "1"),
        ("X='1'\r", "1"),
        ("\ufeffX=1", "1"),
        ("X=1\nX=2", "2"),
        ("nonsense\n# X=3\nX=1\nalso nonsense", "1"),
        ("X=a=b", "a=b"),
    ],
)
def test_values_are_read(tmp_path: Path, line: str, value: str) -> None:
    assert read(file_with(tmp_path, line + "\n"))["X"] == value


def test_lines_inside_a_quoted_value_are_not_lines_of_their_own(tmp_path: Path) -> None:
    assert read(file_with(tmp_path, "X='two\nY=lines'\nZ=1\n")) == {"X": "two\nY=lines", "Z": "1"}


@pytest.mark.parametrize("text", ["A=1\nX='s3cret\n", 'A=1\nX="s3cret\\"\n', "A=1\nX='a'\"s3cret\n"])
def test_an_open_quote_is_told_with_its_line_and_without_its_value(tmp_path: Path, text: str) -> None:
    with pytest.raises(EnvFileError, match=r"\.env, line \d: a quote is not closed") as raised:
        read(file_with(tmp_path, text))

    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "X=new\n"),
        ("A=1", "A=1\nX=new\n"),
        ("A=1\r\n", "A=1\r\nX=new\r\n"),
        ("A=1\nX=old\nB='b'  # b\n", "A=1\nX=new\nB='b'  # b\n"),
        ("X=old", "X=new"),
        ("X=old\r\nB=2\r\n", "X=new\r\nB=2\r\n"),
        ("  export X='old' # mine\n", "  export X=new # mine\n"),
        ("X=\nB=2\n", "X=new\nB=2\n"),
        ("X= # none yet\n", "X=new # none yet\n"),
        ("#X=1\n\n", "#X=1\n\nX=new\n"),
        ("X=a\nA=1\nX='b\nc'\nB=2\nX=c # last\n", "A=1\nB=2\nX=new # last\n"),
        ("A='\nX=inside\n'\n", "A='\nX=inside\n'\nX=new\n"),
        ("XY=1\nAX=2\n", "XY=1\nAX=2\nX=new\n"),
        ("\ufeffX=old\n", "\ufeffX=new\n"),
    ],
)
def test_one_variable_changes_and_the_rest_stays(tmp_path: Path, before: str, after: str) -> None:
    path = file_with(tmp_path, before)

    assert put(path, "new")
    assert path.read_bytes().decode() == after


def test_bytes_that_are_no_text_are_kept(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A=\xff\xfe\nX=1\n")

    put(path, "2")

    assert path.read_bytes() == b"A=\xff\xfe\nX=2\n"


def test_the_same_value_is_not_written_again(tmp_path: Path) -> None:
    path = file_with(tmp_path, "X='v'\n")
    before = path.stat()

    assert not put(path, "v")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_former_duplicate_goes_even_when_the_value_stays(tmp_path: Path) -> None:
    path = file_with(tmp_path, "X=old-token\nX=v\n")

    assert put(path, "v")
    assert path.read_text(encoding="utf-8") == "X=v\n"


def test_the_present_value_is_handed_to_whoever_changes_it(tmp_path: Path) -> None:
    path = file_with(tmp_path, "X=1\nX='2'\n")

    rewrite(path, "X", lambda present: f"{present}+1")

    assert read(path)["X"] == "2+1"


def test_a_missing_file_is_made_for_its_owner_only(tmp_path: Path) -> None:
    put(tmp_path / "new.env", "v")

    assert (tmp_path / "new.env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o660])
def test_the_mode_is_kept(tmp_path: Path, mode: int) -> None:
    path = file_with(tmp_path, "X=1\n")
    path.chmod(mode)

    put(path, "2")

    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_is_kept(tmp_path: Path) -> None:
    path = file_with(tmp_path, "X=1\n")
    os.chown(path, 12345, 23456)

    put(path, "2")

    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link(tmp_path: Path, *, exists: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.env"
    if exists:
        target.write_text("X=1\n", encoding="utf-8")
    link = tmp_path / ".env"
    link.symlink_to("elsewhere/real.env")

    put(link, "2")

    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "X=2\n"


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")

    for odd in (tmp_path, tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(EnvFileError, match="is not a regular file"):
            put(odd, "v")
    with pytest.raises(EnvFileError, match="cannot be reached"):
        put(tmp_path / "loop", "v")


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvFileError, match="cannot be changed: No such file or directory"):
        put(tmp_path / "no" / ".env", "v")


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_a_value_that_no_line_can_hold_changes_nothing(tmp_path: Path, value: str) -> None:
    path = file_with(tmp_path, "X=1\n")

    with pytest.raises(ValueError, match="line breaks"):
        put(path, value)

    assert path.read_text(encoding="utf-8") == "X=1\n"
    assert names_in(tmp_path) == [".env"]


@given(ONE_LINE)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.mktemp("env") / ".env"

    put(path, value)

    assert read(path) == {"X": value}


@given(st.lists(st.tuples(st.sampled_from("XYZ"), ONE_LINE), max_size=5), ONE_LINE)
def test_other_variables_keep_their_values(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]], value: str
) -> None:
    path = tmp_path_factory.mktemp("env") / ".env"
    path.write_bytes("".join(f"{name}={quoted(each)}\n" for name, each in lines).encode())
    before = read(path)

    put(path, value)

    assert read(path) == before | {"X": value}


@pytest.mark.parametrize(
    "value",
    ["", "plain", "a b", "it's", '$HOME `id` \\ "', "it's $HOME `id` \\ \" \\n !", "ünï", "#x", " a ", "\\'", "~/x"],
)
def test_the_shell_reads_the_same(tmp_path: Path, value: str) -> None:
    path = file_with(tmp_path, f"X={quoted(value)} # comment\n")

    assert by_shell(path, "X") == value == read(path)["X"]


def compose_single_quoted(text: str) -> str:
    """How `docker compose` reads a single-quoted value: a backslash before a quote goes, any other stays.

    Source: compose-go 2, dotenv/parser.go, extractVarValue.
    """
    assert text[0] == text[-1] == "'"
    return text[1:-1].replace("\\'", "'")


@given(st.lists(TOKENS, min_size=1, max_size=3))
def test_tokens_survive_every_reader(tokens: list[str]) -> None:
    backends = tuple(
        BackendSettings(name=f"b{number}", url="http://h:1", token=Secret(token)) for number, token in enumerate(tokens)
    )

    line = quoted(written(backends))

    assert "'" not in line[1:-1]
    assert read_backends(compose_single_quoted(line)) == backends
    assert read_backends(line) == backends


def test_the_shell_reads_the_list(tmp_path: Path) -> None:
    token = "".join(map(chr, range(0x21, 0x7F)))
    backends = (BackendSettings(name="a", url="http://h:1", token=Secret(token), header="X-Key", scheme="k"),)
    path = file_with(tmp_path, f"X={quoted(written(backends))}\n")

    assert read_backends(by_shell(path, "X")) == backends


_KILLED_AT = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from entrypoints import env_file

left = int(sys.argv[3])

def deadly(call):
    def wrapped(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)
    return wrapped

for name in ("open", "fdopen", "stat", "fstat", "fchown", "fchmod", "fsync", "replace", "close", "unlink"):
    setattr(os, name, deadly(getattr(os, name)))
env_file.rewrite(Path(sys.argv[2]), "X", lambda present: "new" * 5000)
"""


def test_whoever_is_killed_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    old, new = "A=1\nX=old\n", f"A=1\nX={'new' * 5000}\n"
    path = file_with(tmp_path, old)
    seen: list[str] = []

    for calls in range(100):
        path.write_text(old, encoding="utf-8")
        path.chmod(0o640)
        ended = subprocess.run([sys.executable, "-c", _KILLED_AT, str(ROOT), str(path), str(calls)], check=False)
        seen.append(path.read_text(encoding="utf-8"))
        assert path.stat().st_mode & 0o777 == 0o640
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL

    assert seen == [old] * seen.count(old) + [new] * seen.count(new)
    assert seen.count(old) > 5
    assert seen.count(new) > 1, "some were killed after the rename"
    assert names_in(tmp_path) == [".env"], "the next write removes what a killed one left"


def test_a_failure_on_the_way_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_with(tmp_path, "X=1\n")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(EnvFileError, match="No space left on device"):
        put(path, "2")

    assert names_in(tmp_path) == [".env"]
    assert path.read_text(encoding="utf-8") == "X=1\n"


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from entrypoints.env_file import rewrite\n"
        "for _ in range(10): rewrite(Path(sys.argv[2]), 'X', lambda present: str(int(present or 0) + 1))\n"
    )

    writers = [subprocess.Popen([sys.executable, "-c", program, str(ROOT), str(path)]) for _ in range(3)]

    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert read(path) == {"X": "30"}
