"""Whole runs, watched by everything there is to watch with: numbers add up, and nothing of a record gets out."""

from __future__ import annotations

import asyncio
import io
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from esm.clock import Clock
from esm.mapping.settings import EventSourceMapping
from esm.records.sqs import MessageAttribute
from esm.runtime.real import queue_source
from esm.runtime.worker import Worker
from esm.stores.memory import MemoryStore
from esm.telemetry import facts
from esm.telemetry.logs import LogObserver
from esm.telemetry.metrics import Metrics
from esm.telemetry.observer import Observer
from esm.telemetry.otel import OpenTelemetry
from esm.telemetry.prometheus import PrometheusMetrics
from esm.testing import Put, Queue, Send, Trace, simulate
from esm.testing.loop import SimClock
from esm.testing.run import run
from esm.testing.sqs import SimulatedSqs
from tests.faults.world import ARN, World, lines_to

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"
FAILED = "arn:aws:sqs:eu-west-1:123456789012:failed"
TRACE, SPAN = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
CANARY = "canary in a record"


class Watch:
    """Every kind of observer, and all that they let out."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.log, self.spans, self.reader = io.StringIO(), InMemorySpanExporter(), InMemoryMetricReader()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer = provider.get_tracer("function")
        self.prometheus = PrometheusMetrics(clock=clock)
        self.otel = OpenTelemetry(provider, MeterProvider([self.reader]), clock=clock)
        self.observers: list[Observer] = [LogObserver(lines_to(self.log, level=0)), self.prometheus, self.otel]

    def out(self) -> str:
        """All of it as text."""
        found = self.reader.get_metrics_data()
        assert found is not None
        spans = [span.to_json() for span in self.spans.get_finished_spans()]
        return "".join(
            [self.log.getvalue(), self.prometheus.exposition()[0].decode(), found.to_json(), repr(self.otel), *spans]
        )


def counted(told: Trace) -> dict[str, int]:
    """The counters that the facts of a run come to."""
    metrics = Metrics()
    for fact in told.facts:
        metrics.notice(fact)
    (mapping,) = metrics.snapshot().mappings.values()
    return dict(mapping.counts)


def sometimes(bad: Callable[[str], bool]) -> Callable[[dict[str, Any], Any], None]:
    def handle(event: dict[str, Any], _context: Any) -> None:
        if any(bad(b64decode(record["kinesis"]["data"]).decode()) for record in event["Records"]):
            raise ValueError("out of stock")

    return handle


@pytest.mark.parametrize("destination", [None, FAILED])
@pytest.mark.parametrize("factor", [1, 3])
def test_what_was_read_is_filtered_out_or_settled_or_given_up(factor: int, destination: str | None) -> None:
    mapping = EventSourceMapping(
        event_source_arn=ARN,
        function=sometimes(lambda text: '"n": 7' in text),
        starting_position="TRIM_HORIZON",
        batch_size=10,
        parallelization_factor=factor,
        maximum_retry_attempts=1,
        bisect_batch_on_function_error=True,
        destination_config=destination,
        filter_criteria=[{"data": {"kind": ["order"]}}],
    )
    events = [Put(json.dumps({"kind": "order" if n % 4 else "other", "n": n % 50}), key=str(n)) for n in range(200)]
    told = simulate(mapping, events, shards=2)
    found = counted(told)
    given_up = found["DroppedEventCount"] + found["OnFailureDestinationDeliveredEventCount"]
    assert found["PolledEventCount"] == 200
    assert found["FilteredOutEventCount"] == 50
    assert (found["DroppedEventCount"] == 0) == (destination is not None)
    assert found["PolledEventCount"] == found["FilteredOutEventCount"] + found["SettledEventCount"] + given_up
    assert found["Invocations"] == len(told.invocations)
    assert found["Errors"] == sum(call.outcome == "failed" for call in told.invocations)
    assert found["InvokedEventCount"] == sum(len(call.event["Records"]) for call in told.invocations)


def test_what_was_received_is_deleted() -> None:
    mapping = EventSourceMapping(
        event_source_arn=QUEUE,
        function=lambda _event, _context: None,
        filter_criteria=[{"body": {"kind": ["order"]}}],
    )
    sent = [Send(json.dumps({"kind": "order" if n % 4 else "other"}), at=n * 0.1) for n in range(40)]
    told = simulate(mapping, sent, queue=Queue(), until=600.0)
    found = counted(told)
    assert found["PolledEventCount"] == found["DeletedEventCount"] == len(told.queue.deleted) == 40
    assert found["FilteredOutEventCount"] == 10
    assert found["InvokedEventCount"] == found["SettledEventCount"] == 30


def test_what_is_out_and_what_is_held_is_seen_while_a_function_runs() -> None:
    async def main() -> None:
        world, watch = World(), Watch(SimClock())

        async def slow(_event: Any, _context: Any) -> None:
            await asyncio.sleep(2)

        world.put(*(str(n) for n in range(250)))
        mapping = EventSourceMapping(
            event_source_arn=ARN, function=slow, starting_position="TRIM_HORIZON", batch_size=100
        )
        async with Worker([mapping], store=world.store, ports=world._ports(), observers=watch.observers):
            await asyncio.sleep(1.5)
            seen = watch.prometheus.snapshot().mappings[mapping.uuid]
            assert (seen.concurrent_executions, seen.in_flight, seen.held) == (1, 100, 250)
            assert seen.state == "Enabled"
            assert {shard.state for shard in seen.shards.values()} == {"reading"}
            await asyncio.sleep(10)
            seen = watch.prometheus.snapshot().mappings[mapping.uuid]
            assert (seen.concurrent_executions, seen.in_flight, seen.held) == (0, 0, 0)
            assert seen.counts["Checkpoints"] == seen.counts["Invocations"] == 3
            assert seen.iterator_age_ms is not None
        assert watch.prometheus.snapshot().mappings[mapping.uuid].shards == {}

    run(main())


def test_a_mapping_that_is_disabled_keeps_its_counts_and_one_that_is_deleted_has_no_series() -> None:
    async def main() -> None:
        world, watch = World(), Watch(SimClock())
        world.put("1", "2")
        mapping = EventSourceMapping(event_source_arn=ARN, function=world.handle, starting_position="TRIM_HORIZON")
        async with Worker([mapping], store=world.store, ports=world._ports(), observers=watch.observers) as worker:
            await asyncio.sleep(5)
            await worker.update(mapping.uuid, enabled=False)
            seen = watch.prometheus.snapshot().mappings[mapping.uuid]
            assert (seen.state, dict(seen.shards)) == ("Disabled", {})
            assert seen.counts["SettledEventCount"] == 2
            await worker.update(mapping.uuid, enabled=True)
            world.put("3")
            await asyncio.sleep(5)
            seen = watch.prometheus.snapshot().mappings[mapping.uuid]
            assert (seen.state, len(seen.shards), seen.counts["SettledEventCount"]) == ("Enabled", 1, 3)
            assert seen.counts["Checkpoints"] == 2
            await worker.delete(mapping.uuid)
            assert mapping.uuid not in watch.prometheus.exposition()[0].decode()
            await worker.create(mapping)
            await asyncio.sleep(5)
            assert watch.prometheus.snapshot().mappings[mapping.uuid].counts["PolledEventCount"] == 3

    run(main())


def test_nothing_of_a_record_gets_out_through_anything_that_watches() -> None:
    """At every level, of a function that fails, of records that are halved, given up and described."""

    async def main() -> None:
        world, watch = World(), Watch(SimClock())

        def fails(_event: Any, _context: Any) -> None:
            raise ValueError("out of stock")

        encoded = b64encode(json.dumps({"text": CANARY}).encode()).decode()
        for _ in range(4):
            world.stream.put(json.dumps({"text": CANARY}).encode(), "canary-key")
        mapping = EventSourceMapping(
            event_source_arn=ARN,
            function=fails,
            starting_position="TRIM_HORIZON",
            maximum_retry_attempts=1,
            bisect_batch_on_function_error=True,
            destination_config=FAILED,
            filter_criteria=[{"data": {"text": [{"anything-but": "x"}]}}],
        )
        async with Worker([mapping], store=world.store, ports=world._ports(), observers=watch.observers):
            await asyncio.sleep(60)
            text = watch.out()
        assert "out of stock" in watch.log.getvalue()
        assert 'esm_on_failure_destination_delivered_events_total{function="fails"' in text
        assert "process orders" in text
        for canary in (CANARY, encoded, encoded[:24], "canary-key"):
            assert canary not in text

    run(main())


def test_spans_of_a_queue_lead_to_the_senders_and_to_what_the_function_traces() -> None:
    async def main() -> None:
        world, watch = World(), Watch(SimClock())
        sqs = SimulatedSqs(world.clock)
        queue = sqs.create_queue(QUEUE)
        queue.send(CANARY, trace_header=XRAY, attributes={"secret": MessageAttribute(string_value=CANARY)})
        traceparent = f"00-{TRACE}-{'1' * 16}-01"
        queue.send(CANARY, attributes={"traceparent": MessageAttribute(string_value=traceparent)})
        queue.send(CANARY, trace_header=CANARY, attributes={"traceparent": MessageAttribute(string_value=CANARY)})

        async def handle(_event: Any, _context: Any) -> None:
            with watch.tracer.start_as_current_span("of the function"):
                await asyncio.sleep(0.1)

        mapping = EventSourceMapping(
            event_source_arn=QUEUE, function=handle, batch_size=10, maximum_batching_window_in_seconds=1
        )
        ports = replace(world._ports(), open_queue=partial(queue_source, sqs))
        async with Worker([mapping], store=MemoryStore(), ports=ports, observers=watch.observers):
            await asyncio.sleep(30)
        spans = watch.spans.get_finished_spans()
        outer = [span for span in spans if span.name == "process jobs"]
        inner = [span for span in spans if span.name == "of the function"]
        linked = {f"{link.context.span_id:016x}" for span in outer for link in span.links}
        assert linked == {SPAN, "1" * 16}
        assert {span.parent.span_id for span in inner if span.parent} == {
            span.context.span_id for span in outer if span.context
        }
        assert sum(int(str((span.attributes or {})["messaging.batch.message_count"])) for span in outer) == 3
        assert not trace.get_current_span().get_span_context().is_valid
        assert CANARY not in watch.out()

    run(main())


def test_every_kind_of_fact_has_a_line_and_harms_no_observer() -> None:
    """Also those that are added later: an observer that does not know one lets it pass."""
    watch = Watch()
    kinds = facts.Fact.__subclasses__()
    for kind in kinds:
        hints = kind.__annotations__
        values: dict[str, Any] = {}
        for name in kind.__struct_fields__:
            text = str(hints.get(name, "Millis" if name == "at" else "str"))
            values[name] = (
                ("x",) if "tuple" in text else 1 if "Millis" in text or "int" in text else "bool" not in text and "x"
            )
        for observer in watch.observers:
            observer.notice(kind(**values))
    lines = [json.loads(line) for line in watch.log.getvalue().splitlines()]
    assert len({line["event"] for line in lines}) >= len(kinds)
    assert all(line["event"].replace("_", "").isalpha() for line in lines)
