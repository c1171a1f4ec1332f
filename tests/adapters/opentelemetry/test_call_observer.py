from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from adapters.opentelemetry.call_observer import OpenTelemetryCallObserver
from domain.ports.call_observer import Room
from domain.settlement import Charge, Outcome
from tests.contracts.call_observer import BEGAN_AT, ROOM_S, ObserverBench, ObserverContract, a_record

REQUEST = "00ff" * 8
NS = 1_000_000_000


class Desk:
    """A watcher and what it made."""

    def __init__(self) -> None:
        self.made = InMemorySpanExporter()
        self.observer = OpenTelemetryCallObserver("1.2.3", SimpleSpanProcessor(self.made))

    def spans(self) -> Sequence[ReadableSpan]:
        return self.made.get_finished_spans()

    def whole(self) -> Sequence[ReadableSpan]:
        return [span for span in self.spans() if span.kind is SpanKind.SERVER]


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestOpenTelemetry(ObserverContract):
    @pytest.fixture
    def bench(self, desk: Desk) -> ObserverBench:
        return ObserverBench(observer=desk.observer, calls=lambda: len(desk.whole()))


def test_a_call_is_one_span_and_each_room_one_below_it(desk: Desk) -> None:
    desk.observer.ended(a_record(request_id=REQUEST))

    (whole,) = desk.whole()
    rooms = [span for span in desk.spans() if span is not whole]
    assert [span.name for span in rooms] == list(Room)
    assert whole.parent is None
    assert whole.context is not None
    assert {span.parent.span_id for span in rooms if span.parent} == {whole.context.span_id}


def test_the_trace_has_the_requests_own_id(desk: Desk) -> None:
    desk.observer.ended(a_record(request_id=REQUEST))

    assert {span.context.trace_id for span in desk.spans() if span.context} == {int(REQUEST, 16)}


def test_spans_last_as_long_as_the_rooms_did(desk: Desk) -> None:
    desk.observer.ended(a_record(request_id=REQUEST))

    (whole,) = desk.whole()
    began_ns, room_ns = int(BEGAN_AT.timestamp()) * NS, int(ROOM_S * NS)
    assert (whole.start_time, whole.end_time) == (began_ns, began_ns + len(Room) * room_ns)
    admit = next(span for span in desk.spans() if span.name == "admit")
    assert (admit.start_time, admit.end_time) == (began_ns + 2 * room_ns, began_ns + 3 * room_ns)


def test_a_span_says_who_what_and_how_much(desk: Desk) -> None:
    desk.observer.ended(a_record(request_id=REQUEST, charge=Charge(prompt=11, output=8), held_tokens=40))

    (whole,) = desk.whole()
    assert whole.name == "chat llama3.2:1b"
    assert dict(whole.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "ollama",
        "gen_ai.request.model": "llama3.2:1b",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 8,
        "http.route": "/api/chat",
        "http.response.status_code": 200,
        "neuronetz.request_id": REQUEST,
        "neuronetz.tenant_id": "11111111-2222-3333-4444-555555555555",
        "neuronetz.key_prefix": "nz_abc12345",
        "neuronetz.backend": "gpu1",
        "neuronetz.streamed": True,
        "neuronetz.outcome": "done",
        "neuronetz.held_tokens": 40,
    }


@pytest.mark.parametrize(
    ("outcome", "code", "error", "status"),
    [
        (Outcome.DONE, None, None, StatusCode.UNSET),
        (Outcome.NOT_SENT, "rate_limited", "rate_limited", StatusCode.UNSET),
        (Outcome.HUNG_UP, None, "hung_up", StatusCode.UNSET),
        (Outcome.BACKEND_BROKE_OFF, "stream_broken", "stream_broken", StatusCode.ERROR),
    ],
)
def test_a_fault_is_an_error_and_a_refusal_is_not(
    desk: Desk, outcome: Outcome, code: str | None, error: str | None, status: StatusCode
) -> None:
    """OpenTelemetry's rule for servers: what the caller did wrong is no error of the span."""
    desk.observer.ended(a_record(outcome=outcome, code=code))

    (whole,) = desk.whole()
    assert (whole.attributes or {}).get("error.type") == error
    assert whole.status.status_code is status


def test_the_service_is_named(desk: Desk) -> None:
    desk.observer.ended(a_record())

    resource = desk.spans()[0].resource.attributes
    assert (resource["service.name"], resource["service.version"]) == ("neuronetz-gateway", "1.2.3")
