"""A small disk under a directory of a server, to be filled."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_PIECE = 1024 * 1024


@contextlib.contextmanager
def small_disk(place: Path, *, mebibytes: int) -> Iterator[None]:
    """Lays a tmpfs over the directory, with its contents; the server must be down at both ends.

    Mounting needs root's rights. Without them the test is skipped; under CI root must have them.
    """
    known = place.stat()
    aside = place.with_name(f"{place.name}.aside")
    options = f"size={mebibytes}m,mode=700,uid={known.st_uid},gid={known.st_gid}"
    subprocess.run(["/bin/cp", "-a", str(place), str(aside)], check=True)
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False, text=True
    )
    if mounted.returncode != 0:
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(f"a small disk must be there under CI: {mounted.stderr}")
        pytest.skip("only who may mount has a small disk")
    try:
        subprocess.run(["/bin/cp", "-a", f"{aside}/.", str(place)], check=True)
        shutil.rmtree(aside)
        yield
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(place)], check=True)


def ballast_of(place: Path) -> Path:
    """The file that fills the disk."""
    return place / "ballast"


def fill(place: Path) -> None:
    """Takes all the room that is left, also from who writes there meanwhile."""
    with ballast_of(place).open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(_PIECE))


def give_room(place: Path) -> None:
    """Takes the ballast away."""
    ballast_of(place).unlink()
