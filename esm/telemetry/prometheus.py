"""The metrics as Prometheus scrapes them. Needs the extra `prometheus`.

Nothing is written while records flow: what was counted becomes series when somebody scrapes. Names end as Prometheus
wants them, seconds and bytes are base units; the help text of a series says what Lambda calls it.
https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from esm.clock import Clock
from esm.telemetry.metrics import Metrics
from esm.telemetry.tally import (
    COUNTERS,
    GAUGES,
    SHARD_GAUGES,
    WORKER_COUNTERS,
    Counter,
    Distribution,
    MappingMetrics,
    Snapshot,
)

__all__ = ["PrometheusMetrics"]

LABELS = ("mapping", "function")
"""Of all series of a mapping: its uuid and its function's name."""

SHARD_STATES = ("reading", "silent", "halted")


class PrometheusMetrics(Metrics, Collector):
    """An `Observer` whose numbers stand in a registry. `registry`: `None` for one of its own, with nothing else in it.

    Its series are those of every worker that it is told of; in one registry there is room for one of it. Raises
    `ValueError` when there is one already.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.registry = CollectorRegistry(auto_describe=False) if registry is None else registry
        self.registry.register(self)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The whole registry as text, and its content type. `accept`: the scraper's header, for the format."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def collect(self) -> Iterable[Metric]:
        """Every series, as of now."""
        return _families(self.snapshot())

    def describe(self) -> Iterable[Metric]:
        """Every family, without series: a registry looks for names that are taken."""
        return _families(Snapshot(at=0, mappings={}, counts={}))


def _families(seen: Snapshot) -> Iterator[Metric]:
    mappings = list(seen.mappings.values())
    yield _info(mappings)
    for counter in COUNTERS:
        family = CounterMetricFamily(f"esm_{counter.attribute}", _help(counter), labels=LABELS)
        for each in mappings:
            family.add_metric(_labels(each), each.counts[counter.name])
        yield family
    for counter in WORKER_COUNTERS:
        family = CounterMetricFamily(f"esm_{counter.attribute}", _help(counter))
        if counter.name in seen.counts:
            family.add_metric((), seen.counts[counter.name])
        yield family
    yield from _gauges(mappings)
    yield from _histograms(mappings)
    yield from _of_shards(mappings)


def _info(mappings: list[MappingMetrics]) -> Metric:
    labels = (*LABELS, "event_source_arn", "state")
    family = GaugeMetricFamily("esm_mapping_info", "What a mapping reads, and its State; always 1.", labels=labels)
    for each in mappings:
        family.add_metric((*_labels(each), each.event_source_arn, each.state), 1)
    return family


def _gauges(mappings: list[MappingMetrics]) -> Iterator[Metric]:
    for gauge in GAUGES:
        family = GaugeMetricFamily(f"esm_{gauge.name}", gauge.help, labels=LABELS)
        for each in mappings:
            family.add_metric(_labels(each), getattr(each, gauge.attribute))
        yield family


def _histograms(mappings: list[MappingMetrics]) -> Iterator[Metric]:
    duration = HistogramMetricFamily(
        "esm_duration_seconds", "Duration: how long the function took for a batch.", labels=LABELS
    )
    batches = HistogramMetricFamily("esm_batch_records", "Records of a batch.", labels=LABELS)
    for each in mappings:
        _add(duration, each, each.duration_ms, 1000)
        _add(batches, each, each.batch_size, 1)
    yield duration
    yield batches


def _of_shards(mappings: list[MappingMetrics]) -> Iterator[Metric]:
    for gauge in SHARD_GAUGES:
        family = GaugeMetricFamily(f"esm_{gauge.name}_seconds", gauge.help, labels=(*LABELS, "shard"))
        for each in mappings:
            for name, shard in each.shards.items():
                value = getattr(shard, gauge.attribute)
                if value is not None:
                    family.add_metric((*_labels(each), name), value / 1000)
        yield family
    yield _states(mappings)


def _states(mappings: list[MappingMetrics]) -> Metric:
    family = GaugeMetricFamily("esm_shards", "Shards that are read here, by state.", labels=(*LABELS, "state"))
    for each in mappings:
        found = [shard.state for shard in each.shards.values()]
        for state in SHARD_STATES:
            family.add_metric((*_labels(each), state), found.count(state))
    return family


def _add(family: HistogramMetricFamily, each: MappingMetrics, seen: Distribution, scale: int) -> None:
    bounds = [repr(float(bound / scale)) for bound in seen.bounds] + ["+Inf"]
    family.add_metric(_labels(each), list(zip(bounds, seen.cumulated(), strict=True)), seen.total / scale)


def _help(counter: Counter) -> str:
    return f"{counter.name}: {counter.help}"


def _labels(each: MappingMetrics) -> tuple[str, str]:
    return each.mapping, each.function
