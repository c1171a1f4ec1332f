"""Traces of a real gateway, as a receiver of OTLP gets them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from domain.ports.call_observer import Room
from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House
from tests.e2e.programs import eventually, free_port

PROMPT = "canary-prompt-nobody-may-see"
CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": PROMPT}]}


@attrs.define
class Receiver:
    """A collector that keeps what it gets."""

    url: str
    raw: list[bytes] = attrs.field(factory=list)

    def spans(self, request_id: str) -> Sequence[Span]:
        found = []
        for body in list(self.raw):
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return [span for span in found if span.trace_id.hex() == request_id]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.raw.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keep)
    kept = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("traces"), "--tokens", "20", "--token-delay-ms", "5") as opened:
        yield opened


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in span.attributes}


def test_a_call_arrives_as_one_trace_with_a_span_for_each_room(house: House, receiver: Receiver) -> None:
    traced = house.add_gateway(TRACES="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_BSP_SCHEDULE_DELAY="100")
    traced.wait_ready()
    key = house.new_key()

    answer = httpx.post(f"{traced.url}/api/chat", headers=key.headers, json=CHAT, timeout=30)
    refused = httpx.post(f"{traced.url}/api/chat", headers=key.headers, json={**CHAT, "model": "none"}, timeout=30)
    request_id, refused_id = (one.headers["x-request-id"].removeprefix("req_") for one in (answer, refused))
    for _ in eventually(10):
        if receiver.spans(request_id) and receiver.spans(refused_id):
            break
    traced.stop()

    spans = receiver.spans(request_id)
    (whole,) = [span for span in spans if not span.parent_span_id]
    rooms = [span for span in spans if span.parent_span_id]
    assert [span.name for span in rooms] == list(Room)
    assert {span.parent_span_id for span in rooms} == {whole.span_id}
    ends = [span.end_time_unix_nano for span in rooms]
    assert [span.start_time_unix_nano for span in rooms] == [whole.start_time_unix_nano, *ends[:-1]]
    assert ends[-1] == whole.end_time_unix_nano
    assert whole.name == "chat sim-chat:latest"
    said = attributes(whole)
    assert (said["gen_ai.usage.output_tokens"], said["neuronetz.key_prefix"]) == (20, key.prefix)
    assert (said["neuronetz.tenant_id"], said["neuronetz.outcome"]) == (key.tenant_id, "done")
    (denied,) = [span for span in receiver.spans(refused_id) if not span.parent_span_id]
    assert attributes(denied)["error.type"] == "model_not_found"
    everything = b"".join(receiver.raw)
    for secret in (PROMPT, key.text, key.text[11:], house.redis_url):
        assert secret.encode() not in everything


def test_a_receiver_that_is_away_harms_no_call_and_delays_no_end(house: House) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    traced = house.add_gateway(TRACES="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=nobody, OTEL_BSP_SCHEDULE_DELAY="100")
    traced.wait_ready()
    key = house.new_key()

    for _ in range(5):
        assert httpx.post(f"{traced.url}/api/chat", headers=key.headers, json=CHAT, timeout=30).status_code == 200
    traced.send(signal.SIGTERM)

    assert traced.wait(20) == 0
    house.settled()
    assert "Traceback" not in traced.text()
