"""A metric as it is declared: what it is called, how it is cut, what it means. Documents are made from the same.

Names and bounds of the `gen_ai_` families are OpenTelemetry's semantic conventions for generative AI (metrics, status
development, read in 2025), in Prometheus' spelling: dots become underscores, the unit is a suffix.
"""

from __future__ import annotations

from enum import StrEnum

import attrs


class Kind(StrEnum):
    """As Prometheus calls them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@attrs.frozen(kw_only=True)
class Family:
    """One metric."""

    name: str
    """As it is scraped; of a histogram, without `_bucket`, `_sum` and `_count`."""
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, without the last, which has none."""


_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")

REQUEST_SECONDS = Family(
    name="gen_ai_server_request_duration_seconds",
    kind=Kind.HISTOGRAM,
    meaning="Calls, by how long they took from the body's arrival to the end; error_type is empty for an answer.",
    labels=(*_GEN_AI, "error_type"),
    bounds=(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
FIRST_TOKEN_SECONDS = Family(
    name="gen_ai_server_time_to_first_token_seconds",
    kind=Kind.HISTOGRAM,
    meaning="Streamed answers, by how long their first piece took, with all waiting.",
    labels=_GEN_AI,
    bounds=(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
TOKEN_SECONDS = Family(
    name="gen_ai_server_time_per_output_token_seconds",
    kind=Kind.HISTOGRAM,
    meaning="Streamed answers, by the time each output token after the first took.",
    labels=_GEN_AI,
    bounds=(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)
TOKENS = Family(
    name="gen_ai_client_token_usage",
    kind=Kind.HISTOGRAM,
    meaning="Calls, by the tokens they were charged, input and output apart; the sums are what budgets have lost.",
    labels=(*_GEN_AI, "gen_ai_token_type"),
    bounds=tuple(float(4**power) for power in range(14)),
)

CALLS = Family(
    name="neuronetz_calls_total",
    kind=Kind.COUNTER,
    meaning="Calls that have ended, by how; the outcomes are the audit's.",
    labels=("route", "dialect", "outcome"),
)
REFUSALS = Family(
    name="neuronetz_refusals_total",
    kind=Kind.COUNTER,
    meaning="Requests that were told an error code, by the code (docs/errors.md); each once, calls or not.",
    labels=("code", "route"),
)
ROOM_SECONDS = Family(
    name="neuronetz_room_seconds",
    kind=Kind.HISTOGRAM,
    meaning="Stays of calls in the rooms of the pipeline (docs/architecture.md).",
    labels=("room",),
    bounds=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
QUEUE_SECONDS = Family(
    name="neuronetz_queue_wait_seconds",
    kind=Kind.HISTOGRAM,
    meaning="Calls that were given a turn at a backend, by how long they waited for it.",
    bounds=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0),
)
HELD = Family(
    name="neuronetz_held_tokens_total",
    kind=Kind.COUNTER,
    meaning="Tokens that were held for calls before they were sent: upper bounds.",
)
OVERSHOOT = Family(
    name="neuronetz_overshoot_tokens_total",
    kind=Kind.COUNTER,
    meaning="Tokens that backends reported beyond what was held: they broke their cap. Not charged; must stay 0.",
)

OF_CALLS = (
    REQUEST_SECONDS,
    FIRST_TOKEN_SECONDS,
    TOKEN_SECONDS,
    TOKENS,
    CALLS,
    REFUSALS,
    ROOM_SECONDS,
    QUEUE_SECONDS,
    HELD,
    OVERSHOOT,
)
