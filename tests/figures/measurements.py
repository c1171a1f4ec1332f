"""What measures the figures: each a command of its own, at the size of every day and at its full length."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from tests.figures.table import Figure

ROOT = Path(__file__).resolve().parents[2]
_PYTEST = ("pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider")
_NIGHTLY_TOO = ("-m", "nightly or not nightly")


@attrs.frozen(kw_only=True)
class Measurement:
    """One command line of Python's, behind `-m`."""

    figures: tuple[Figure, ...]
    """What it should tell, if all goes well."""
    quick: Sequence[str] = ()
    """Empty where less than its full length says nothing."""
    nightly: Sequence[str]

    def command(self, *, nightly: bool) -> Sequence[str]:
        """The command line; empty if it has none of that size."""
        words = self.nightly if nightly else self.quick
        return [sys.executable, "-m", *words] if words else []


def _tests(*places: str, figures: tuple[Figure, ...]) -> Measurement:
    return Measurement(figures=figures, quick=[*_PYTEST, *places], nightly=[*_PYTEST, *places, *_NIGHTLY_TOO])


MEASUREMENTS: Mapping[str, Measurement] = {
    "histories": _tests("tests/histories", figures=(Figure.STATE_MACHINE_RUNS,)),
    "chaos": Measurement(
        figures=(
            Figure.OVERSPEND,
            Figure.RATES_EXCEEDED,
            Figure.SERVED_WITHOUT_RECORD,
            Figure.SERVED_OR_SETTLED_TWICE,
            Figure.HOLDS_LEFT_OPEN,
            Figure.SLOTS_LEAKED,
            Figure.KILLS_SURVIVED,
        ),
        quick=("tests.chaos", "--seconds", "90"),
        nightly=("tests.chaos", "--seconds", "600"),
    ),
    "hang-ups": _tests("tests/e2e/hang_ups", figures=(Figure.HANG_UPS,)),
    "outages": _tests(
        "tests/e2e/outages",
        figures=(
            Figure.ADMITTED_WITHOUT_STORE,
            Figure.SERVES_AGAIN_REDIS,
            Figure.SERVES_AGAIN_POSTGRES,
            Figure.SERVES_AGAIN_FLUSH,
        ),
    ),
    "revocation": _tests("tests/e2e/revocation", figures=(Figure.ADMITTED_AFTER_REVOKE, Figure.REVOKED_STREAM_CUT)),
    "strangers": Measurement(
        figures=(Figure.STRANGERS_ARGON2, Figure.STRANGERS_P99, Figure.TIMING),
        quick=("tests.strangers", "--count", "5000", "--pairs", "1", "--for-s", "10", "--rounds", "1000"),
        nightly=("tests.strangers",),
    ),
    "canaries": _tests("tests/canaries", figures=(Figure.CANARIES, Figure.PROMPTS_AFTER_TTL)),
    "seals": _tests("tests/adapters/postgres/seals", figures=(Figure.TAMPERINGS_FOUND,)),
    "wire": _tests("tests/e2e/wire", figures=(Figure.FRAMINGS, Figure.ROUTES)),
    "hostile": _tests("tests/e2e/hostile", figures=(Figure.HOSTILE_BACKENDS,)),
    "readers": Measurement(
        figures=(Figure.STALLED_READERS,), nightly=[*_PYTEST, "tests/e2e/test_stalled_readers.py", *_NIGHTLY_TOO]
    ),
    "fuzz": Measurement(
        figures=(Figure.HOSTILE_INPUTS,),
        quick=("tests.fuzz", "--bodies", "50000"),
        nightly=("tests.fuzz", "--bodies", "1000000"),
    ),
    "cancel": Measurement(
        figures=(Figure.CONNECTIONS_LOST,),
        quick=("tests.soak", "cancel", "--streams", "2000", "--stop-every", "1000"),
        nightly=("tests.soak", "cancel", "--streams", "20000"),
    ),
    "soak": Measurement(figures=(Figure.SOAK,), nightly=("tests.soak", "run", "--minutes", "60")),
    "speed": Measurement(
        figures=(Figure.ADDED_LATENCY, Figure.ADMISSIONS_A_SECOND, Figure.SLOW_STREAMS, Figure.LOOP_LAG),
        quick=("tests.bench", "--only", "hot,slow,held", "--rounds", "2", "--requests", "1000"),
        nightly=("tests.bench", "--only", "hot,slow,held"),
    ),
    "growth": Measurement(
        figures=(Figure.GROWTH,),
        quick=("tests.bench", "--only", "growth", "--growth", "50000", "--requests", "1000"),
        nightly=("tests.bench", "--only", "growth"),
    ),
}
