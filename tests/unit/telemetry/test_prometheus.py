"""What Prometheus scrapes: names, units, labels, and what goes away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest
from prometheus_client import CollectorRegistry, Metric, parser
from prometheus_client.openmetrics import parser as openmetrics

from esm.telemetry import facts
from esm.telemetry.prometheus import PrometheusMetrics
from tests.unit.telemetry.happenings import MAPPING, QUEUE, Standing, batch, changed, polled

parsed: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families
parse_strictly: Callable[[str], Iterable[Metric]] = openmetrics.text_string_to_metric_families


def told(*more: facts.Fact) -> PrometheusMetrics:
    metrics = PrometheusMetrics(clock=Standing())
    for fact in (changed(), polled(10, held=4, held_bytes=400, behind_ms=1_500), *batch(10), *more):
        metrics.notice(fact)
    return metrics


def samples(metrics: PrometheusMetrics) -> dict[str, float]:
    """Each series as it is written, without the labels that all of a mapping have."""
    body, _ = metrics.exposition()
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    short = (re.sub(rf'function="orders",|,?mapping="{MAPPING}",?', "", line) for line in lines)
    return {name.replace("{}", ""): float(value) for name, value in (line.rsplit(" ", 1) for line in short)}


def test_series_of_a_mapping() -> None:
    found = samples(told())
    assert found["esm_polled_events_total"] == found["esm_invoked_events_total"] == 10
    assert found["esm_invocations_total"] == 1
    assert found["esm_held_bytes"] == 400
    assert found['esm_shard_lag_seconds{shard="shard-0"}'] == 1.5
    assert found['esm_iterator_age_seconds{shard="shard-0"}'] == 0.7
    assert found['esm_shards{state="reading"}'] == 1
    assert found['esm_shards{state="halted"}'] == 0
    assert found['esm_duration_seconds_bucket{le="0.025"}'] == 0
    assert found['esm_duration_seconds_bucket{le="0.05"}'] == found['esm_duration_seconds_bucket{le="+Inf"}'] == 1
    assert found["esm_duration_seconds_sum"] == 0.04
    assert found['esm_batch_records_bucket{le="10.0"}'] == found["esm_batch_records_count"] == 1
    assert found["esm_loop_blocks_total"] == 0


def test_what_reads_the_text_understands_both_formats() -> None:
    metrics = told()
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain")
    plain = {family.name: family.type for family in parsed(body.decode())}
    body, content_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    strict = {family.name: family.type for family in parse_strictly(body.decode())}
    assert plain == strict
    assert strict["esm_polled_events"] == "counter"
    assert strict["esm_duration_seconds"] == "histogram"


def test_names_follow_prometheus_rules() -> None:
    for family in told().collect():
        assert re.fullmatch(r"esm_[a-z_]+", family.name)
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms", "_milliseconds"))
        assert family.documentation.endswith((".", "always 1."))
        assert family.type in {"counter", "gauge", "histogram"}


def test_labels_are_names_of_mappings_functions_shards_and_states() -> None:
    """Nothing that a record, a message or an error says can be a label: series would have no bound."""
    error = "canary\n" + "x" * 100
    trouble = [
        facts.PollFailed(at=0, mapping=MAPPING, shard="shard-0", code=error, message=error, retry_at=1),
        facts.ShardHalted(at=0, mapping=MAPPING, shard="shard-0", error=error),
        *batch(1, outcome="failed", failed_records=1, error_type=error, error_message=error, error_trace=error),
        facts.ObserverDropped(at=0, observer=error, error=error),
        facts.LoopBlocked(at=0, function=error, request_id=error, blocked_ms=1, stack=(error,)),
    ]
    metrics = told(*trouble)
    names = {name for family in metrics.collect() for sample in family.samples for name in sample.labels}
    assert names == {"mapping", "function", "shard", "state", "le", "event_source_arn"}
    assert b"canary" not in metrics.exposition()[0]


def test_series_are_bounded_however_much_happens() -> None:
    metrics = told()
    before = len(samples(metrics))
    for number in range(1_000):
        for fact in (*batch(1, request_id=f"r{number}"), polled(1, at=number)):
            metrics.notice(fact)
    assert len(samples(metrics)) == before


def test_what_is_gone_has_no_series() -> None:
    metrics = told(facts.ShardEnded(at=0, mapping=MAPPING, shard="shard-0"))
    assert not [name for name in samples(metrics) if "shard-0" in name]
    metrics.notice(changed("Deleting"))
    assert not [name for name in samples(metrics) if MAPPING in name or "orders" in name]


def test_a_queue_has_no_lag() -> None:
    metrics = PrometheusMetrics()
    for fact in (changed(arn=QUEUE), polled(shard="jobs")):
        metrics.notice(fact)
    assert 'esm_shard_lag_seconds{shard="jobs"}' not in samples(metrics)


def test_hostile_names_are_escaped() -> None:
    metrics = PrometheusMetrics()
    hostile = 'a"} 1\nesm_forged_total 7\n\\'
    metrics.notice(facts.MappingStateChanged(at=0, mapping=MAPPING, state="Enabled", function=hostile))
    families = list(parsed(metrics.exposition()[0].decode()))
    assert "esm_forged" not in {family.name for family in families}
    (info,) = (family for family in families if family.name == "esm_mapping_info")
    assert info.samples[0].labels["function"] == hostile


def test_a_registry_of_the_programs_own_holds_one_of_it() -> None:
    registry = CollectorRegistry(auto_describe=False)
    metrics = PrometheusMetrics(registry)
    metrics.notice(changed())
    assert registry.get_sample_value("esm_polls_total", {"mapping": MAPPING, "function": "orders"}) == 0
    with pytest.raises(ValueError, match="Duplicated"):
        PrometheusMetrics(registry)
