"""Several expositions as one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from entrypoints.parent.merging import merged


def exposition(amount: int) -> bytes:
    registry = CollectorRegistry()
    Counter("calls", 'Calls, "quoted"\nand broken.', ["route"], registry=registry).labels('/a"\\\n').inc(amount)
    Gauge("up", "Up.", registry=registry).set(amount)
    Histogram("took_seconds", "Took.", buckets=(1, 2), registry=registry).observe(amount)
    return generate_latest(registry)


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_every_sample_is_kept_and_told_apart_by_its_process() -> None:
    told = {1: exposition(1), 2: exposition(5)}

    both = samples(merged(told, running=2, restarts=3))

    for place, text in told.items():
        for (name, labels), value in samples(text).items():
            assert both.pop((name, tuple(sorted((*labels, ("process", str(place))))))) == value
    assert both == {("neuronetz_processes", ()): 2.0, ("neuronetz_process_restarts_total", ()): 3.0}


def test_a_family_is_described_once() -> None:
    text = merged({1: exposition(1), 2: exposition(5)}, running=2, restarts=0).decode()

    described = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(described) == len(set(described))
    assert {"calls_total", "up", "took_seconds"} <= set(described)


def test_without_children_the_parent_still_tells_of_itself() -> None:
    assert samples(merged({}, running=0, restarts=7))[("neuronetz_processes", ())] == 0
