"""A backend that repeats the question wherever it can: the question is in no log, no metric and no audit."""

from __future__ import annotations

import httpx

from tests.e2e.hostile.scripts import SCRIPTS
from tests.e2e.hostile.voices import CANARY
from tests.e2e.hostile.watching import Watched


def test_no_question_reaches_the_log_the_metrics_or_the_audit(watched: Watched) -> None:
    before = len(watched.log)
    for name in (name for name in SCRIPTS if name.startswith("echoes-")):
        for voice in SCRIPTS[name].endings:
            watched.ask(voice, name)

    metrics = httpx.get(f"http://{watched.metrics}/metrics").text
    audit = watched.house.rows("select * from audit")
    log = watched.log[before:]
    assert "withheld" in log
    assert "neuronetz" in metrics
    assert len(audit) > 1
    for seen in (log, metrics, repr(audit)):
        assert CANARY not in seen
