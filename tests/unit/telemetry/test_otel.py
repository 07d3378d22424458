"""One span for each call, linked to where its messages come from, and current while the function runs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.trace import SpanKind, StatusCode

from esm.telemetry import facts
from esm.telemetry.observer import Observers
from esm.telemetry.otel import OpenTelemetry
from tests.unit.telemetry.happenings import MAPPING, QUEUE, Standing, batch, changed, polled

TRACE, SPAN = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/sales/stream/2026-01-01T00:00:00.000"


class Seen:
    """What an SDK exports of the facts that `observer` is told."""

    def __init__(self, *told: facts.Fact) -> None:
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.clock = Standing()
        meters = MeterProvider([self._metrics])
        self.observer = OpenTelemetry(self.provider, meters, clock=self.clock)
        self.tell(*told)

    def tell(self, *told: facts.Fact) -> None:
        for fact in told:
            self.observer.notice(fact)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._spans.get_finished_spans()

    def metrics(self) -> dict[str, list[Any]]:
        """Data points by instrument."""
        found = self._metrics.get_metrics_data()
        assert found is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_span_of_a_queue_says_what_the_conventions_say() -> None:
    """https://opentelemetry.io/docs/specs/semconv/faas/aws-lambda/#sqs-event"""
    (span,) = Seen(changed(arn=QUEUE), *batch(3, "jobs")).spans
    assert (span.name, span.kind) == ("process jobs", SpanKind.CONSUMER)
    assert attributes(span) == {
        "messaging.system": "aws_sqs",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "jobs",
        "messaging.batch.message_count": 3,
        "faas.trigger": "pubsub",
        "faas.name": "orders",
        "faas.invocation_id": "r",
        "aws.lambda.resource_mapping.id": MAPPING,
        "cloud.account.id": "123456789012",
        "cloud.region": "eu-west-1",
        "esm.invoke_count": 1,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None


def test_attributes_are_the_conventions_own() -> None:
    own = {value for name, value in vars(messaging_attributes).items() if name.isupper()}
    (span,) = Seen(changed(), *batch()).spans
    assert {name for name in attributes(span) if name.startswith("messaging.")} <= own
    assert attributes(span)["messaging.system"] == "aws_kinesis"
    assert attributes(span)["messaging.destination.partition.id"] == "shard-0"


def test_a_table() -> None:
    (span,) = Seen(changed(arn=TABLE), *batch()).spans
    assert span.name == "process sales"
    assert attributes(span)["faas.trigger"] == "datasource"


def test_links_lead_to_each_message() -> None:
    headers = (f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{'1' * 16}-00")
    (span,) = Seen(changed(arn=QUEUE), *batch(3, "jobs", traces=headers)).spans
    contexts = [link.context for link in span.links]
    assert [f"{each.trace_id:032x}" for each in contexts] == [TRACE, TRACE]
    assert [f"{each.span_id:016x}" for each in contexts] == [SPAN, "1" * 16]
    assert [each.trace_flags.sampled for each in contexts] == [True, False]
    assert all(each.is_remote for each in contexts)


def test_what_is_no_context_is_no_link() -> None:
    (span,) = Seen(changed(arn=QUEUE), *batch(traces=("canary",))).spans
    assert span.links == ()


def test_it_asks_for_the_contexts_of_messages_and_for_the_beginning_of_calls() -> None:
    watching = Observers([Seen().observer])
    assert watching.wants_traces
    assert watching.wants(facts.InvocationStarted)
    assert not watching.wants(facts.CheckpointStored)


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({"outcome": "failed", "error_type": "ValueError", "function_error": "Unhandled"}, "ValueError"),
        ({"outcome": "failed", "error_type": "InvalidResponse", "function_error": None}, "InvalidResponse"),
        ({"outcome": "partly failed"}, "BatchItemFailures"),
    ],
)
def test_the_status_is_that_of_the_outcome(ended: dict[str, Any], said: str) -> None:
    (span,) = Seen(changed(), *batch(5, failed_records=2, error_message="canary", error_trace="canary", **ended)).spans
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert attributes(span)["error.type"] == said
    assert attributes(span)["esm.failed_message_count"] == 2
    assert "canary" not in json.dumps(json.loads(span.to_json()))


def test_the_span_is_current_while_the_function_runs_and_not_afterwards() -> None:
    seen = Seen(changed())
    tracer = seen.provider.get_tracer("function")
    began, ended = batch()

    async def main() -> None:
        async def function() -> None:
            with tracer.start_as_current_span("of the function"):
                await asyncio.sleep(0)

        seen.tell(began)
        await asyncio.gather(asyncio.create_task(function()), asyncio.to_thread(trace.get_current_span))
        seen.tell(ended)
        assert not trace.get_current_span().get_span_context().is_valid

    asyncio.run(main())
    inner, outer = seen.spans
    assert outer.name == "process orders"
    assert inner.parent is not None
    assert inner.parent.span_id == outer.get_span_context().span_id  # type: ignore[union-attr]  # a span has one


def test_whatever_the_worker_was_started_in_is_not_what_caused_a_call() -> None:
    seen = Seen(changed())
    with seen.provider.get_tracer("program").start_as_current_span("startup"):
        seen.tell(*batch())
    assert seen.spans[0].parent is None


@pytest.mark.parametrize(
    "over",
    [
        facts.LeaseLost(at=0, mapping=MAPPING, shard="shard-0"),
        facts.ShardHalted(at=0, mapping=MAPPING, shard="shard-0", error="e"),
        facts.MappingFailed(at=0, mapping=MAPPING, error="e", retry_at=1),
        changed("Disabled"),
        facts.WorkerStopped(at=0, clean=False),
    ],
)
def test_a_call_that_was_cut_off_has_a_span_that_says_so(over: facts.Fact) -> None:
    async def main() -> None:
        seen = Seen(changed())
        other = batch(1, "shard-1", request_id="other")[0]
        kept = facts.InvocationStarted(
            at=0, mapping="m", shard="s", request_id="k", lane=0, records=1, first="", last="", invoke_count=1, age_ms=0
        )
        seen.tell(batch()[0], other, kept, changed("Disabling"), over)
        cut = {span.attributes["faas.invocation_id"] for span in seen.spans if span.attributes}
        assert cut == ({"r"} if over.shard else {"r", "other"})
        assert all(attributes(span)["error.type"] == "Cancelled" for span in seen.spans)
        seen.tell(batch()[1])
        assert len(seen.spans) == len(cut), "its end comes too late"

    asyncio.run(main())  # a context of its own: what was current when it was cut off goes with its task


def test_instruments() -> None:
    seen = Seen(changed(), polled(10, held=4, held_bytes=400, behind_ms=2_000), *batch(10))
    found = seen.metrics()
    (points,) = found["esm.polled_events"]
    assert points.value == 10
    assert points.attributes["aws.lambda.resource_mapping.id"] == MAPPING
    assert [point.value for point in found["esm.held_bytes"]] == [400]
    assert [point.value for point in found["esm.shard_lag"]] == [2.0]
    assert found["esm.iterator_age"][0].attributes["messaging.destination.partition.id"] == "shard-0"
    (duration,) = found["messaging.process.duration"]
    assert (duration.sum, duration.count) == (0.04, 1)
    assert duration.explicit_bounds[-1] == 900


def test_numbers_of_one_collection_are_of_one_moment() -> None:
    seen = Seen(changed(), polled(10))
    assert seen.metrics()["esm.polled_events"][0].value == 10
    seen.tell(polled(10))
    assert seen.metrics()["esm.polled_events"][0].value == 10
    seen.clock.at += 1_000
    assert seen.metrics()["esm.polled_events"][0].value == 20


def test_without_an_sdk_nothing_happens() -> None:
    observer = OpenTelemetry()
    for fact in (changed(), *batch()):
        observer.notice(fact)
    assert observer.snapshot().mappings[MAPPING].counts["Invocations"] == 1
