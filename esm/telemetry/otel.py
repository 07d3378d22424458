"""Traces and metrics for OpenTelemetry. Needs the extra `otel`, which is the API alone: the SDK is the program's.

One consumer span for each call of a function, linked to where its messages come from. It is the current span while the
function runs, so what the function traces itself is below it; not in another process (`isolation="process"`). No
attribute holds a word of a record, nor of what a function said when it failed.
https://opentelemetry.io/docs/specs/semconv/faas/aws-lambda/#sqs-event
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Token
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from opentelemetry import context as contexts
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from esm.arn import Arn
from esm.clock import Clock, Millis
from esm.telemetry import facts
from esm.telemetry.metrics import Metrics
from esm.telemetry.tally import COUNTERS, DURATIONS_MS, GAUGES, SHARD_GAUGES, MappingMetrics, ShardMetrics, Snapshot

__all__ = ["OpenTelemetry"]

FRESH_MS: Millis = 100
"""How old the numbers may be that instruments of one collection share (chosen)."""

_SYSTEMS = {"kinesis": "aws_kinesis", "dynamodb": "aws_dynamodb", "sqs": "aws_sqs"}
_TRIGGERS = {"kinesis": "pubsub", "dynamodb": "datasource", "sqs": "pubsub"}
_W3C = TraceContextTextMapPropagator()

Attributes = Mapping[str, str | int]
Look = Callable[[CallbackOptions], Iterable[Observation]]


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that has not ended."""

    span: Span
    token: Token[Context]
    mapping: str
    shard: str


class OpenTelemetry(Metrics):
    """An `Observer` that traces every call, and whose numbers are instruments of a meter.

    `tracer_provider`, `meter_provider`: `None` for the program's global ones. `clock`: as in `Metrics`.
    """

    wants_traces = True

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock)
        self._tracer = trace.get_tracer("esm", tracer_provider=tracer_provider)
        self.kinds = frozenset([*self.kinds, facts.InvocationStarted])
        self._named: dict[str, Attributes] = {}
        self._stopping: set[str] = set()
        self._calls: dict[str, _Call] = {}
        self._last: Snapshot | None = None
        meter = metrics.get_meter("esm", meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "messaging.process.duration",
            unit="s",
            description="Duration: how long the function took for a batch.",
            explicit_bucket_boundaries_advisory=[bound / 1000 for bound in DURATIONS_MS],
        )
        _observe(meter, self._seen)

    def notice(self, fact: facts.Fact) -> None:
        """Counts it, and begins or ends a span with a call."""
        super().notice(fact)
        if isinstance(fact, facts.InvocationStarted):
            self._begin_span(fact)
        elif isinstance(fact, facts.InvocationEnded):
            self._end_span(fact)
        elif isinstance(fact, facts.MappingStateChanged):
            self._state_changed_to(fact)
        elif isinstance(fact, facts.LeaseLost | facts.MappingFailed | facts.ShardHalted):
            self._cut_off(lambda call: call.mapping == fact.mapping and fact.shard in {"", call.shard})
        elif isinstance(fact, facts.WorkerStopped):
            self._cut_off(lambda call: call.mapping in self._stopping)

    def _begin_span(self, fact: facts.InvocationStarted) -> None:
        named = self._attributes(fact.mapping)
        own: dict[str, str | int] = {
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.batch.message_count": fact.records,
            "faas.invocation_id": fact.request_id,
            "esm.invoke_count": fact.invoke_count,
        }
        if named.get("messaging.system") != "aws_sqs":
            own["messaging.destination.partition.id"] = fact.shard
        span = self._tracer.start_span(
            f"process {named.get('messaging.destination.name', fact.shard)}",
            context=Context(),  # whatever the worker was started in has not caused this
            kind=SpanKind.CONSUMER,
            attributes={**named, **own},
            links=[Link(found) for header in fact.traces for found in _span_contexts(header)],
        )
        token = contexts.attach(trace.set_span_in_context(span))
        self._calls[fact.request_id] = _Call(span, token, fact.mapping, fact.shard)

    def _end_span(self, fact: facts.InvocationEnded) -> None:
        call = self._calls.pop(fact.request_id, None)
        if call is None:
            return
        named = dict(self._attributes(fact.mapping))
        if fact.outcome != "succeeded":
            call.span.set_status(Status(StatusCode.ERROR))
            call.span.set_attribute("error.type", fact.error_type or "BatchItemFailures")
            call.span.set_attribute("esm.failed_message_count", fact.failed_records)
            named["error.type"] = fact.function_error or "InvalidResponse"
            if fact.outcome == "partly failed":
                named["error.type"] = "BatchItemFailures"
        self._duration.record(fact.duration_ms / 1000, named)
        call.span.end()
        contexts.detach(call.token)

    def _state_changed_to(self, fact: facts.MappingStateChanged) -> None:
        self._named[fact.mapping] = _names(fact.mapping, fact.function, fact.event_source_arn)
        if fact.state in {"Disabling", "Deleting"}:
            self._stopping.add(fact.mapping)
            return
        self._stopping.discard(fact.mapping)
        if fact.state == "Disabled":
            self._cut_off(lambda call: call.mapping == fact.mapping)

    def _cut_off(self, is_over: Callable[[_Call], bool]) -> None:
        """Ends the spans of calls that will never say that they ended; their tasks are gone, and what was current."""
        for request_id, call in list(self._calls.items()):
            if is_over(call):
                call.span.set_status(Status(StatusCode.ERROR))
                call.span.set_attribute("error.type", "Cancelled")
                call.span.end()
                del self._calls[request_id]

    def _attributes(self, mapping: str) -> Attributes:
        return self._named.get(mapping) or _names(mapping, "", "")

    def _seen(self) -> Snapshot:
        if self._last is None or self._clock.now() - self._last.at > FRESH_MS:
            self._last = self.snapshot()
        return self._last


def _names(mapping: str, function: str, event_source_arn: str) -> dict[str, str | int]:
    """What is the same for all calls of a mapping."""
    named: dict[str, str | int] = {"aws.lambda.resource_mapping.id": mapping, "faas.name": function}
    try:
        arn = Arn.parse(event_source_arn)
    except ValueError:  # unknown yet, or a recording: it has no account
        return named
    kind = arn.source_kind or ""
    return named | {
        "messaging.system": _SYSTEMS.get(kind, arn.service),
        "messaging.destination.name": arn.name,
        "faas.trigger": _TRIGGERS.get(kind, "other"),
        "cloud.account.id": arn.account,
        "cloud.region": arn.region,
    }


def _span_contexts(traceparent: str) -> Iterator[trace.SpanContext]:
    found = trace.get_current_span(_W3C.extract({"traceparent": traceparent}, Context())).get_span_context()
    if found.is_valid:
        yield found


# -- instruments -------------------------------------------------------------------------------------------------------


def _observe(meter: Meter, seen: Callable[[], Snapshot]) -> None:
    """Instruments that look at the numbers when somebody collects."""
    for counter in COUNTERS:
        text = f"{counter.name}: {counter.help}"
        look = _look(seen, partial(_count, counter.name))
        meter.create_observable_counter(f"esm.{counter.attribute}", [look], description=text)
    for gauge in GAUGES:
        unit = "By" if gauge.attribute.endswith("bytes") else ""
        look = _look(seen, attrgetter(gauge.attribute))
        meter.create_observable_gauge(f"esm.{gauge.name}", [look], unit=unit, description=gauge.help)
    for gauge in SHARD_GAUGES:
        at_shards = partial(_at_shards, seen, attrgetter(gauge.attribute))
        meter.create_observable_gauge(f"esm.{gauge.name}", [at_shards], unit="s", description=gauge.help)


def _look(seen: Callable[[], Snapshot], value: Callable[[MappingMetrics], int]) -> Look:
    def look(_options: CallbackOptions) -> Iterator[Observation]:
        for each in seen().mappings.values():
            yield Observation(value(each), _names(each.mapping, each.function, each.event_source_arn))

    return look


def _count(name: str, each: MappingMetrics) -> int:
    return each.counts[name]


def _at_shards(
    seen: Callable[[], Snapshot], of: Callable[[ShardMetrics], Millis | None], _options: CallbackOptions
) -> Iterator[Observation]:
    for each in seen().mappings.values():
        named = _names(each.mapping, each.function, each.event_source_arn)
        for shard, found in each.shards.items():
            value = of(found)
            if value is not None:
                yield Observation(value / 1000, {**named, "messaging.destination.partition.id": shard})
