"""The commands of docs/DEPLOYMENT.md, in their order, in one folder, as an operator would type them.

The stores are durable ones of this module's own: the doctor would rightly complain of the others.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest
from psycopg.conninfo import conninfo_to_dict

from entrypoints.embedded import start_stores
from entrypoints.embedded.binaries import find_postgres_bin
from tests.docs.fenced import ROOT, to_run
from tests.e2e.programs import Simulator, program_environment

BLOCKS = to_run("docs/DEPLOYMENT.md")
_PREFIX = re.compile(r"nz_[0-9A-Za-z]{8}\b")


@attrs.frozen(kw_only=True)
class Scene:
    """A folder as an operator's, with `neuronetz-gateway` and PostgreSQL's programs on the path."""

    folder: Path
    environ: Mapping[str, str]
    replaced: Mapping[str, str]

    def run(self, text: str) -> str:
        """The output of a block; fails with it when a command of it fails."""
        for shown, real in self.replaced.items():
            text = text.replace(shown, real)
        if "nz_abc12345" in text:
            found = _PREFIX.search(self.run("neuronetz-gateway list-keys --tenant acme"))
            assert found
            text = text.replace("nz_abc12345", found[0])
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", text],
            cwd=self.folder,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("deployment")
    base = tmp_path_factory.getbasetemp()
    for above in (base.parent.parent, base.parent, base, folder):  # the stores' own account must be able to pass
        if above != Path(tempfile.gettempdir()):
            above.chmod(0o755)
    programs = folder / "bin"
    programs.mkdir()
    command = programs / "neuronetz-gateway"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m neuronetz_gateway "$@"\n')
    command.chmod(0o755)
    simulator = Simulator(folder)
    try:
        with start_stores(folder / "state", durable=True) as stores:
            database = {name: str(value) for name, value in conninfo_to_dict(stores.database_url).items()}
            names = {
                "host": "PGHOST",
                "port": "PGPORT",
                "user": "PGUSER",
                "password": "PGPASSWORD",
                "dbname": "PGDATABASE",
            }
            path = os.pathsep.join([str(programs), str(find_postgres_bin(os.environ)), "/usr/bin", "/bin"])
            yield Scene(
                folder=folder,
                environ=program_environment()
                | {variable: database[name] for name, variable in names.items() if name in database}
                | {"PATH": path, "NEW_TOKEN": "a-made-up-token"},
                replaced={
                    "postgresql://neuronetz:password@localhost:5432/neuronetz": stores.database_url,
                    "redis://localhost:6379/0": stores.redis_url,
                    "http://gpu1:11434": simulator.url,
                },
            )
    finally:
        simulator.stop()


@pytest.mark.timeout(300)
def test_the_commands_of_the_page_run_in_their_order(scene: Scene) -> None:
    shell = [block for block in BLOCKS if block.language == "sh"]
    said = {block.line: scene.run(block.text) for block in shell}

    assert len(said) == len(shell) > 5
    assert (scene.folder / "neuronetz.dump").stat().st_size > 10_000
    assert (scene.folder / ".env").stat().st_mode & 0o077 == 0


def test_the_page_has_nothing_else_to_run() -> None:
    assert {block.language for block in BLOCKS} == {"sh"}


def test_every_alarm_has_its_heading() -> None:
    page = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
    alerts = re.findall(
        r"^\s*- alert: (\w+)", (ROOT / "infra" / "observability" / "alerts.yaml").read_text(), re.MULTILINE
    )

    assert alerts
    assert [name for name in alerts if f"### Alarm: {name}" not in page] == []
