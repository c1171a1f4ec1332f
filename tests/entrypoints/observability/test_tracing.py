from __future__ import annotations

import subprocess
import sys

from tests.e2e.programs import ROOT, program_environment

_WITHOUT_IT = """
import sys
sys.modules["opentelemetry"] = None
from entrypoints.observability.tracing import open_tracing
from entrypoints.settings import SettingsError
try:
    open_tracing()
except SettingsError as error:
    print(*error.problems, sep="\\n")
"""


def test_missing_packages_are_one_sentence_with_the_remedy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_IT],
        env=program_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("TRACES is otlp, and the packages for it are not installed: run `pip install ")
