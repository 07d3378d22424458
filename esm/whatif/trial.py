"""One recording under one set of settings: what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from esm.clock import Millis
from esm.errors import MappingError
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.telemetry import facts
from esm.testing.events import Queue
from esm.testing.simulate import Trace, simulate
from esm.whatif.function import Behaviour, Modelled
from esm.whatif.traffic import Traffic

__all__ = ["PERCENTILES", "Outcome", "Prices", "try_settings"]

PERCENTILES = (50, 90, 99, 100)

_DRAIN_S = 3600.0
_DRAIN_MAX_S = 24 * 3600.0
"""Virtual seconds after the last record after which it is broken off, beside twice the time of all calls with single
records one after another: what never comes to an end costs real time (chosen)."""

_TIMEOUT_S = 900.0
"""Lambda's longest: what a call may take is for the behaviour to say."""

_VISIBILITY_S = 6 * 900
"""As AWS advises for such a function."""

_MONTH_S = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Prices:
    """Lambda's, in US dollars: x86 in us-east-1, the first tier, without the free one.

    https://aws.amazon.com/lambda/pricing/
    """

    per_million_requests: float = 0.20
    per_gb_second: float = 0.0000166667


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`latency_ms`: of records, from arrival to the end of the call that did them, by percentile; empty without any.

    `blocked_s`: from the first failed call of a batch until that batch was done with, over all lanes: what else a lane
    held waited for it. `behind_s`: from the last record's arrival until all was done. `undone`: records that were still
    left when it was broken off, an hour or more after the last had arrived. `dollars`: of all calls;
    `dollars_a_month`: if it went on like this for 30 days, `None` for a recording of less than a second.
    """

    settings: Mapping[str, int]
    invocations: int
    failed: int
    given_up: int
    undone: int
    records: int
    latency_ms: dict[int, int]
    blocked_s: float
    behind_s: float
    busy_s: float
    dollars: float
    dollars_a_month: float | None


def try_settings(
    traffic: Traffic, mapping: EventSourceMapping, behaviour: Behaviour, settings: Mapping[str, int], prices: Prices
) -> Outcome:
    """What `mapping` with `settings` in place of its own makes of the traffic, with a function of that behaviour.

    Raises `MappingError` for settings that AWS would refuse, and where nothing would ever come to an end.
    """
    modelled = Modelled(behaviour)
    function = Function(
        modelled, name=mapping.function.name, timeout=_TIMEOUT_S, memory_size=mapping.function.memory_size
    )
    tried = _changed(mapping, {"function": function, "destination_config": None, **_named(settings)})
    _check_end(tried, behaviour)
    trace = simulate(
        tried,
        traffic.events,
        shards=traffic.shards,
        until=traffic.seconds + _drain_s(traffic, behaviour),
        keys=traffic.key_names,
        queue=Queue(visibility_timeout=_VISIBILITY_S) if traffic.kind == "sqs" else None,
        keep_events=False,
    )
    given_up = sum(fact.records for fact in trace.facts if isinstance(fact, facts.RecordsDiscarded))
    dollars = _dollars(prices, len(trace.invocations), modelled.billed_ms, tried.function.memory_size)
    ended = max((invocation.ended_at for invocation in trace.invocations), default=0.0)
    return Outcome(
        settings=settings,
        invocations=len(trace.invocations),
        failed=sum(invocation.outcome != "succeeded" for invocation in trace.invocations),
        given_up=given_up,
        undone=_undone(traffic, trace, given_up + len(modelled.latencies_ms)),
        records=len(modelled.latencies_ms),
        latency_ms=_percentiles(modelled.latencies_ms),
        blocked_s=_blocked_ms(trace.facts) / 1000,
        behind_s=max(0.0, ended - traffic.seconds),
        busy_s=modelled.busy_s,
        dollars=dollars,
        dollars_a_month=dollars * _MONTH_S / traffic.seconds if traffic.seconds >= 1 else None,
    )


def _check_end(mapping: EventSourceMapping, behaviour: Behaviour) -> None:
    """Nothing, when there is one: what fails for ever may at least be given up."""
    if behaviour.seconds(1) > _TIMEOUT_S:
        said = f"a call of one record would take {behaviour.seconds(1):,.0f} s; Lambda ends it after {_TIMEOUT_S:.0f} s"
        raise MappingError(said)
    given_up = mapping.maximum_retry_attempts != -1 or mapping.maximum_record_age_in_seconds != -1
    if behaviour.error_rate >= 1 and (mapping.source_kind == "sqs" or not given_up):
        said = "every call fails and nothing is ever given up, so there is no end"
        raise MappingError(f"{said}: try an error rate below 1, or of a stream maximum_retry_attempts")


def _drain_s(traffic: Traffic, behaviour: Behaviour) -> float:
    return min(_DRAIN_MAX_S, _DRAIN_S + 2 * len(traffic.events) * behaviour.seconds(1))


def _undone(traffic: Traffic, trace: Trace, done: int) -> int:
    """Records that nothing has become of."""
    if traffic.kind == "sqs":
        return len(trace.queue.left)
    dropped = sum(fact.filtered for fact in trace.facts if isinstance(fact, facts.Polled))
    return max(0, len(traffic.events) - dropped - done)


def _changed(mapping: EventSourceMapping, settings: dict[str, Any]) -> EventSourceMapping:
    """The mapping with other settings, read from the first record on, wherever it would have begun."""
    kept = {field.name: getattr(mapping, field.name) for field in fields(mapping)}
    if mapping.source_kind != "sqs":
        kept |= {"starting_position": "TRIM_HORIZON", "starting_position_timestamp": None}
    return EventSourceMapping(**{**kept, **settings})


def _named(settings: Mapping[str, int]) -> dict[str, Any]:
    """As a mapping takes them."""
    named: dict[str, Any] = dict(settings)
    if "maximum_concurrency" in named:
        named["scaling_config"] = {"MaximumConcurrency": named.pop("maximum_concurrency")}
    return named


def _dollars(prices: Prices, calls: int, billed_ms: int, memory_mb: int) -> float:
    return calls * prices.per_million_requests / 1e6 + billed_ms / 1000 * memory_mb / 1024 * prices.per_gb_second


def _percentiles(latencies_ms: list[int]) -> dict[int, int]:
    ordered = sorted(latencies_ms)
    if not ordered:
        return {}
    return {percent: ordered[-(-len(ordered) * percent // 100) - 1] for percent in PERCENTILES}


def _blocked_ms(told: Sequence[facts.Fact]) -> Millis:
    """Time between the first failure on a lane and the next success there, or giving up."""
    since: dict[tuple[str, int], Millis] = {}
    blocked = 0
    for fact in told:
        if isinstance(fact, facts.InvocationEnded) and fact.outcome == "failed":
            since.setdefault((fact.shard, fact.lane), fact.at)
        elif isinstance(fact, facts.InvocationEnded | facts.RecordsDiscarded):
            blocked += fact.at - since.pop((fact.shard, fact.lane), fact.at)
    return blocked
