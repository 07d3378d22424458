"""What the dashboard and the alert rules ask for exists, and Prometheus would understand how they ask."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from esm.telemetry import facts
from esm.telemetry.logs import event_name
from esm.telemetry.prometheus import PrometheusMetrics
from tests.unit.telemetry.happenings import batch, changed, polled

FOLDER = Path(__file__).parents[2] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
KINDS = [kind for kind in facts.Fact.__subclasses__() if kind.__module__ == facts.__name__]
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
GRID = 24
"""Columns of a Grafana dashboard."""
ADDED_BY_A_SCRAPE = {"instance", "job"}


def panel_queries() -> list[str]:
    """With Grafana's own variables as it would fill them in."""
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [each.replace("$__rate_interval", "1m").replace("$mapping", ".+") for each in asked]


QUERIES = [rule["expr"] for rule in RULES] + panel_queries()


def series() -> dict[str, set[str]]:
    """The labels of each series that a worker has, by its name."""
    metrics = PrometheusMetrics()
    for fact in (changed(), polled(), *batch()):
        metrics.notice(fact)
    found: dict[str, set[str]] = {}
    for family in metrics.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


SERIES = series()


def selectors(query: str) -> Iterator[Any]:
    """Each place where a query names a metric. Raises `ValueError` when it is no PromQL."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(query), visit)
    yield from found


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_series_that_exist_by_labels_that_they_have(query: str) -> None:
    named = list(selectors(query))
    assert named
    for selector in named:
        assert selector.name in SERIES, selector.name
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= SERIES[selector.name]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_groups_by_labels_that_its_series_have(query: str) -> None:
    grouped = {label for found in re.findall(r"by \(([^)]*)\)", query) for label in found.split(", ")}
    for selector in selectors(query):
        assert grouped <= SERIES[selector.name] | ADDED_BY_A_SCRAPE


@pytest.mark.parametrize("query", QUERIES)
def test_a_rate_is_of_a_counter_and_of_nothing_else(query: str) -> None:
    """A gauge that is rated, or a counter that is shown as it stands, parses, and says nothing."""
    rated = set(re.findall(r"(?:rate|increase)\(\s*(\w+)", query))
    counters = {selector.name for selector in selectors(query) if selector.name.endswith(("_total", "_bucket"))}
    sums = {selector.name for selector in selectors(query) if selector.name.endswith(("_sum", "_count"))}
    assert rated == counters | sums


def test_no_query_is_no_promql() -> None:
    with pytest.raises(ValueError, match=r"\w"):
        list(selectors("sum by (mapping) (rate(esm_polls_total[5m])"))
    with pytest.raises(ValueError, match=r"\w"):
        list(selectors("rate(esm_polls_total)"))


def test_each_alert_says_what_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert re.fullmatch(r"Esm[A-Za-z]+", rule["alert"])
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_what_must_not_go_unseen_has_an_alert() -> None:
    asked = {selector.name for rule in RULES for selector in selectors(rule["expr"])}
    assert asked >= {
        "esm_abandoned_handlers_total",
        "esm_destination_delivery_failures_total",
        "esm_dropped_events_total",
        "esm_errors_total",
        "esm_loop_blocks_total",
        "esm_poll_failures_total",
        "esm_positions_trimmed_total",
        "esm_shard_lag_seconds",
        "esm_store_failures_total",
    }
    states = {value for rule in RULES for value in re.findall(r'state="(\w+)"', rule["expr"])}
    assert states == {"silent", "halted"}


def test_an_alert_shows_labels_that_its_query_keeps() -> None:
    for rule in RULES:
        shown = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        by = re.search(r"by \(([^)]*)\)", rule["expr"])
        kept = set(by[1].split(", ")) if by else set.union(*(SERIES[each.name] for each in selectors(rule["expr"])))
        assert shown <= kept | ADDED_BY_A_SCRAPE, rule["alert"]


def test_the_log_events_that_alerts_speak_of_exist() -> None:
    events = {event_name(kind) for kind in KINDS}
    for rule in RULES:
        assert set(re.findall(r"\bevents? ([a-z_]+)", rule["annotations"]["description"])) <= events


def test_panels_have_names_of_their_own_and_do_not_lie_on_each_other() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < GRID


def test_the_dashboard_asks_the_data_source_that_is_chosen() -> None:
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "mapping"}
    uids = {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
    assert uids == {"${datasource}"}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(DASHBOARD["panels"])))
    assert used <= variables
    assert "label_values(esm_mapping_info, mapping)" in json.dumps(DASHBOARD["templating"])


PAGE = (FOLDER / "watching.md").read_text()


def test_the_page_has_every_series_and_no_other() -> None:
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in SERIES}
    assert set(re.findall(r"\| `(esm_\w+)` \|", PAGE)) == families


def test_the_page_has_every_log_event_with_its_keys_and_no_other() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| [a-z; ]+ \| ?(.*) ?\|$", PAGE, re.MULTILINE))
    keys = {event_name(kind): set(kind.__struct_fields__) - {"at", "mapping", "shard"} for kind in KINDS}
    assert {event: set(re.findall(r"`(\w+)`", row)) for event, row in rows.items()} == keys


def test_the_page_names_what_exists() -> None:
    for path in re.findall(r"`(esm\.telemetry\.[\w.]+)", PAGE):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)
