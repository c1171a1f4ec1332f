from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from adapters.prometheus.call_observer import MOST_MODELS, OTHER_MODELS, PrometheusCallObserver
from adapters.prometheus.families import OF_CALLS, Kind
from domain.ports.call_observer import OPERATIONS, Room, TurnedAway
from domain.settlement import Charge, Outcome
from tests.contracts.call_observer import ROOM_S, ObserverBench, ObserverContract, a_record
from tests.fakes.call_observer import MemoryCallObserver


class Desk:
    """A watcher and its registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.observer = PrometheusCallObserver(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def total(self, name: str) -> float:
        return sum(s.value for metric in self.registry.collect() for s in metric.samples if s.name == name)

    def series(self) -> int:
        return sum(len(metric.samples) for metric in self.registry.collect())


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestTheFake(ObserverContract):
    @pytest.fixture
    def bench(self) -> ObserverBench:
        fake = MemoryCallObserver()
        return ObserverBench(observer=fake, calls=lambda: len(fake.records))


class TestPrometheus(ObserverContract):
    @pytest.fixture
    def bench(self, desk: Desk) -> ObserverBench:
        return ObserverBench(observer=desk.observer, calls=lambda: int(desk.total("neuronetz_calls_total")))


CHAT = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "ollama", "gen_ai_request_model": "llama3.2:1b"}


def test_a_streamed_answer_is_timed_from_its_marks(desk: Desk) -> None:
    desk.observer.ended(a_record(charge=Charge(prompt=11, output=6)))

    rooms = len(Room)
    first_s = 6 * ROOM_S  # identify, permit, admit, reserve, turn, first_byte
    assert desk.value("gen_ai_server_request_duration_seconds_sum", **CHAT, error_type="") == rooms * ROOM_S
    assert desk.value("gen_ai_server_time_to_first_token_seconds_sum", **CHAT) == first_s
    assert desk.value("gen_ai_server_time_per_output_token_seconds_sum", **CHAT) == ROOM_S / 5
    assert desk.value("neuronetz_queue_wait_seconds_sum") == ROOM_S
    assert {desk.value("neuronetz_room_seconds_sum", room=room) for room in Room} == {ROOM_S}


def test_a_value_lies_in_the_bucket_that_holds_it(desk: Desk) -> None:
    """A bound belongs to its bucket: `le` is less or equal."""
    desk.observer.ended(a_record())

    held = {le: desk.value("neuronetz_room_seconds_bucket", room="admit", le=le) for le in ("0.1", "0.25", "+Inf")}
    assert held == {"0.1": 0, "0.25": 1, "+Inf": 1}


def test_tokens_are_those_that_were_charged(desk: Desk) -> None:
    desk.observer.ended(a_record(charge=Charge(prompt=11, output=8, overshoot=3), held_tokens=40))

    assert desk.value("gen_ai_client_token_usage_sum", **CHAT, gen_ai_token_type="input") == 11
    assert desk.value("gen_ai_client_token_usage_sum", **CHAT, gen_ai_token_type="output") == 8
    assert desk.value("neuronetz_held_tokens_total") == 40
    assert desk.value("neuronetz_overshoot_tokens_total") == 3


def test_an_answer_in_one_piece_has_no_first_token(desk: Desk) -> None:
    desk.observer.ended(a_record(streamed=False, charge=Charge(prompt=11, output=8)))

    assert desk.total("gen_ai_server_time_to_first_token_seconds_count") == 0
    assert desk.total("gen_ai_server_request_duration_seconds_count") == 1


def test_a_failed_call_says_in_what_and_has_no_pace(desk: Desk) -> None:
    desk.observer.ended(a_record(outcome=Outcome.BACKEND_BROKE_OFF, code="stream_broken"))
    desk.observer.ended(a_record(outcome=Outcome.HUNG_UP))

    for error in ("stream_broken", "hung_up"):
        assert desk.value("gen_ai_server_request_duration_seconds_count", **CHAT, error_type=error) == 1
    assert desk.total("gen_ai_server_time_to_first_token_seconds_count") == 0


def test_a_code_is_counted_once_whether_it_was_a_call_or_not(desk: Desk) -> None:
    desk.observer.ended(a_record(outcome=Outcome.NOT_SENT, code="rate_limited"))
    desk.observer.turned_away(TurnedAway(route="/api/chat", code="rate_limited", status=429))
    desk.observer.ended(a_record(outcome=Outcome.HUNG_UP))

    assert desk.value("neuronetz_refusals_total", code="rate_limited", route="/api/chat") == 2
    assert desk.total("neuronetz_refusals_total") == 2


def test_what_alarms_look_for_is_there_from_the_start(desk: Desk) -> None:
    for operation in {endpoint.value for endpoint in OPERATIONS}:
        assert desk.value("neuronetz_refusals_total", code="internal_error", route=operation) == 0
    assert desk.value("neuronetz_overshoot_tokens_total") == 0


def test_the_same_calls_again_make_no_new_series(desk: Desk) -> None:
    for outcome in Outcome:
        desk.observer.ended(a_record(outcome=outcome))
    before = desk.series()

    for number in range(100):
        desk.observer.ended(a_record(request_id=f"{number:032x}", outcome=Outcome.DONE))

    assert desk.series() == before


def test_a_catalogue_without_end_makes_a_bounded_number_of_series(desk: Desk) -> None:
    for number in range(MOST_MODELS + 50):
        desk.observer.ended(a_record(request_id=f"{number:032x}", model=f"m{number}"))
    before = desk.series()

    desk.observer.ended(a_record(model="one-more"))

    assert desk.series() == before
    other = {**CHAT, "gen_ai_request_model": OTHER_MODELS, "error_type": ""}
    assert desk.value("gen_ai_server_request_duration_seconds_count", **other) == 51


def test_every_family_is_registered_as_it_is_described(desk: Desk) -> None:
    made = {metric.name: metric for metric in desk.registry.collect()}

    for family in OF_CALLS:
        metric = made.pop(family.name.removesuffix("_total") if family.kind is Kind.COUNTER else family.name)
        assert (metric.type, metric.documentation) == (family.kind.value, family.meaning)
    assert made == {}
