"""Calls as traces: one span for the call, one for each room it was in, made when all is over.

The marks say when each room began and ended, so nothing is opened while a call runs and nothing is kept for it. What is
made is handed to the SDK's own thread, which sends it in batches; when it cannot, it drops, and no call ever waits.

A trace's id is the request's id, so that `x-request-id` finds it. No span holds anything the caller wrote.
Where it is sent, and how, is set by OpenTelemetry's standard variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_BSP_*, ...).
Names: OpenTelemetry's semantic conventions for generative AI (spans, status development, read in 2025).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context

from domain.faults import FaultCode
from domain.ports.call_observer import OPERATIONS, PROVIDER, CallObserver, CallRecord, TurnedAway

LAST_BATCH_S = 3.0
"""How long a stopping process waits for what is still to be sent."""
_log = structlog.get_logger("neuronetz")
_SERVICE = "neuronetz-gateway"
_NS = 1_000_000_000
_FAULTS = frozenset(code.value for code in FaultCode)


class _RequestIds(RandomIdGenerator):
    """Gives the next trace the id of its request."""

    def __init__(self) -> None:
        self.next_trace_id = 0

    def generate_trace_id(self) -> int:
        return self.next_trace_id or super().generate_trace_id()


class OpenTelemetryCallObserver(CallObserver):
    """Makes the spans of calls and hands them to a processor."""

    def __init__(self, version: str, processor: SpanProcessor) -> None:
        self._ids = _RequestIds()
        self._provider = TracerProvider(resource=_resource(version), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer: Tracer = self._provider.get_tracer(_SERVICE, version)

    def ended(self, record: CallRecord) -> None:
        """See the port."""
        wall_ns = int(record.began_at.timestamp() * _NS)
        self._ids.next_trace_id = int(record.request_id, 16)
        whole = self._tracer.start_span(
            f"{OPERATIONS[record.endpoint]} {record.model}" if record.model else OPERATIONS[record.endpoint],
            context=Context(),
            kind=SpanKind.SERVER,
            attributes=_attributes(record),
            start_time=wall_ns,
        )
        if not whole.is_recording():  # not sampled
            return
        if record.error in _FAULTS:  # a refusal is no error of the server's, nor is a client that leaves
            whole.set_status(Status(StatusCode.ERROR, record.error))
        inside = set_span_in_context(whole, Context())
        for room, began_s, ended_s in record.marks:
            span = self._tracer.start_span(room.value, context=inside, start_time=wall_ns + _ns(began_s, record))
            span.end(wall_ns + _ns(ended_s, record))
        whole.end(wall_ns + int(record.seconds * _NS))

    def turned_away(self, request: TurnedAway) -> None:
        """No rooms, no trace: it is counted and in the audit."""

    def close(self) -> None:
        """Sends what is left. May take as long as the exporter's own time-outs."""
        self._provider.shutdown()


class OtlpTracing:
    """The observer with OpenTelemetry's own exporter behind it: OTLP over HTTP, in batches, in a thread."""

    def __init__(self, version: str) -> None:
        self.observer = OpenTelemetryCallObserver(version, BatchSpanProcessor(OTLPSpanExporter()))

    async def aclose(self) -> None:
        """Sends what is left, `LAST_BATCH_S` at most. What takes longer is left to a thread that ends with us."""
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()

        def close() -> None:
            self.observer.close()
            loop.call_soon_threadsafe(closed.set)

        threading.Thread(target=close, name="last traces", daemon=True).start()
        try:
            async with asyncio.timeout(LAST_BATCH_S):
                await closed.wait()
        except TimeoutError:
            _log.warning("traces_not_sent")


def _ns(at_s: float, record: CallRecord) -> int:
    return int((at_s - record.began_s) * _NS)


def _resource(version: str) -> Resource:
    """What the operator's variables say; the service's name is ours unless they say another."""
    said = Resource.create({})
    if str(said.attributes.get("service.name", "")).startswith("unknown_service"):
        said = said.merge(Resource({"service.name": _SERVICE}))
    return said.merge(Resource({"service.version": version}))


def _attributes(record: CallRecord) -> Mapping[str, str | int | bool]:
    known: dict[str, str | int | bool | None] = {
        "gen_ai.operation.name": OPERATIONS[record.endpoint],
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": record.model,
        "gen_ai.usage.input_tokens": record.charge.prompt or None,
        "gen_ai.usage.output_tokens": record.charge.output or None,
        "error.type": record.error,
        "http.route": record.endpoint.value,
        "http.response.status_code": record.status or None,
        "neuronetz.request_id": record.request_id,
        "neuronetz.tenant_id": record.tenant_id,
        "neuronetz.key_prefix": record.key_prefix,
        "neuronetz.backend": record.backend,
        "neuronetz.streamed": record.streamed,
        "neuronetz.outcome": record.outcome.value,
        "neuronetz.held_tokens": record.held_tokens or None,
    }
    return {name: value for name, value in known.items() if value is not None}
