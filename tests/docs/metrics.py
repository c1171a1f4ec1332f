"""`docs/metrics.md`, made from what the gateway registers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from adapters.prometheus.families import OF_CALLS, Family, Kind
from entrypoints.observability.live_parts import OF_PARTS
from entrypoints.observability.loop_lag import LAG_SECONDS

METRICS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

_HEAD = """\
# Metrics and traces
Made from the code by `python -m tests.docs`.

## Fetching them
Each gateway serves `GET /metrics` on `METRICS_BIND`, by default `127.0.0.1:9464`, apart from the port that callers use:
whoever reaches it may read all of it, and it asks for no key. `off` switches listener and counting off. `quickstart`
has no listener unless `METRICS_BIND` is set. With `serve --processes N` there is one listener for all, and every sample
bears the label `process`.

```yaml
scrape_configs:
  - job_name: neuronetz-gateway        # the alert rules look for "neuronetz" in the job's name
    static_configs:
      - targets: ["127.0.0.1:9464"]
```

A dashboard for Grafana 10 and later and alert rules for Prometheus are in `infra/observability/`.

**Tenants and keys are no labels.** There may be ten thousand, and each would have its own series of everything. What
each has used is in PostgreSQL, exactly: `neuronetz-gateway usage`. Every label comes from a closed list, from the
operator's settings, or from the backends' own lists of models: nothing that a caller writes makes a new series.

Metrics count; they never decide, and they are lost with the process. What must not be lost is in the audit.

## Of calls
Counted once, at the end of each. The `gen_ai_` names and their buckets are OpenTelemetry's conventions for generative
AI; the rest is ours.
"""
_OF_PARTS = """
## Of parts
Read when somebody asks. Those of all gateways are said so: they are the same from every process, so take `max`, not
`sum`.
"""
_OF_PROCESSES = """
## Of processes
From Prometheus' client library, read from `/proc`. A parent of several processes adds `neuronetz_processes` and
`neuronetz_process_restarts_total`, its own, and the label `process` to all others. A process that has been replaced and
only drains is no longer read, and at a stop the listener closes first: what they still count is in the audit alone.
"""
_TRACES = """
## Traces
`TRACES=otlp` sends a trace of each call over OTLP/HTTP; it needs `pip install "neuronetz-gateway[traces]"`. Where to,
how much of it, and in what batches is set by OpenTelemetry's own variables in the environment (not in `.env`):
`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_SERVICE_NAME`.

A trace is one span for the call and one for each room it was in: `identify`, `permit`, `admit`, `reserve`, `turn`,
`first_byte`, `relay`, `settle`. Its trace id is the request id, so the `x-request-id` of an answer, without `req_`,
finds it. The call's span has `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.request.model`,
`gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens`, `error.type`, `http.route`, `http.response.status_code`, and
of ours `neuronetz.request_id`, `neuronetz.tenant_id`, `neuronetz.key_prefix`, `neuronetz.backend`,
`neuronetz.streamed`, `neuronetz.outcome` and `neuronetz.held_tokens`. No prompt, answer or key is ever in one.

Spans are made when a call has ended and sent by a thread of their own. If they cannot be sent they are dropped; no call
waits for them. A stopping process gives the last ones three seconds. They are not free: see `docs/decisions.md`.
"""


def metrics() -> str:
    """The document."""
    parts = [
        _HEAD,
        "\n" + _table(_row(family) for family in OF_CALLS),
        _OF_PARTS,
        "\n" + _table(_row(family) for family in (*OF_PARTS, LAG_SECONDS)),
        _OF_PROCESSES,
        "\n" + _table(_of_processes()),
        _TRACES,
    ]
    return "".join(parts)


def documented() -> Sequence[str]:
    """Every metric by name, of a single process."""
    ours = [family.name for family in (*OF_CALLS, *OF_PARTS, LAG_SECONDS)]
    return [*ours, *(row[0].strip("`") for row in _of_processes())]


def _row(family: Family) -> Sequence[str]:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return (f"`{family.name}`", family.kind.value, labels, family.meaning)


def _of_processes() -> Iterator[Sequence[str]]:
    for family in ProcessCollector(registry=CollectorRegistry()).collect():
        name = f"{family.name}_total" if family.type == Kind.COUNTER.value else family.name
        yield (f"`{name}`", family.type, "", family.documentation.rstrip(".") + ".")


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
