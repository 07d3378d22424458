"""Pollers of a queue beside each other: receive ten, handle, delete ten; the tables, and the page they stand on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from tests.bench.peers import absent, present
from tests.bench.queue_client import QUEUE_VARIANTS
from tests.bench.queue_meter import QueueSample, Window, drain_all, measure_queue
from tests.bench.report import figure, machine, table, under

__all__ = [
    "CASES",
    "QueueCase",
    "QueueRow",
    "bench_queues",
    "check_variants",
    "compare_queues",
    "queue_page",
    "queue_tables",
    "write_queues",
]

ESM = "esm"
MESSAGES_CHECKED = 3000


@dataclass(frozen=True)
class QueueCase:
    """`handlers`: how many may be in flight; `takes_ms`: how long each waits, so that so many are."""

    name: str
    handlers: int
    takes_ms: int


CASES = (QueueCase("1 handler in flight", 1, 0), QueueCase("50 handlers in flight", 50, 5))


@dataclass
class QueueRow:
    """One case's samples by variant, one a round."""

    case: QueueCase
    samples: dict[str, list[QueueSample]] = field(default_factory=dict)

    def middle(self, variant: str, of: Callable[[QueueSample], float]) -> float:
        """The median of a figure."""
        return median(of(sample) for sample in self.samples[variant])

    def times(self, variant: str, reference: str, of: Callable[[QueueSample], float]) -> float:
        """How many times the reference's figure the variant's is: the median of the ratios within each round."""
        pairs = zip(self.samples[variant], self.samples[reference], strict=True)
        return median(of(one) / of(other) for one, other in pairs)


def check_variants(variants: Sequence[str]) -> None:
    """Raises `RuntimeError` unless each deletes every message, whatever is measured afterwards."""
    for variant in variants:
        for case in CASES:
            drain_all(variant, case.handlers, case.takes_ms, MESSAGES_CHECKED)


def compare_queues(
    cases: Sequence[QueueCase],
    variants: Sequence[str],
    rounds: int,
    window: Window,
    told: Callable[[str], None],
    *,
    tls: bool = False,
) -> list[QueueRow]:
    """A row for each case. Within a round each variant has one turn; every other round goes the other way."""
    rows = []
    for case in cases:
        row = QueueRow(case)
        for number in range(rounds):
            for variant in variants if number % 2 == 0 else reversed(variants):
                told(f"queue, {case.name}, round {number + 1} of {rounds}: {variant}")
                sample = measure_queue(variant, case.handlers, case.takes_ms, window, tls=tls)
                row.samples.setdefault(variant, []).append(sample)
        rows.append(row)
    return rows


def queue_tables(rows: Sequence[QueueRow], variants: Sequence[str]) -> str:
    """Markdown: what a message costs, how many there are a second, and how many times that of esm it is."""
    names = list(variants)
    parts = [
        _table("CPU, us a message", rows, names, lambda row, v: figure(row.middle(v, _cost))),
        _table("Messages a second", rows, names, lambda row, v: f"{row.middle(v, _speed):,.0f}"),
    ]
    if ESM in names:
        others = [name for name in names if name != ESM]
        parts += [
            _table("Times the CPU of esm", rows, others, lambda row, v: f"{row.times(v, ESM, _cost):.2f}"),
            _table("esm's messages a second, times theirs", rows, others, _ahead),
        ]
    parts += [
        _table("CPU of the server, us a message", rows, names, lambda row, v: figure(row.middle(v, _server_cost))),
        _table("Messages received and not deleted, at most", rows, names, lambda row, v: str(_most_out(row, v))),
        _table("Largest resident size, MiB", rows, names, lambda row, v: f"{row.middle(v, lambda s: s.rss_mib):.0f}"),
    ]
    return "\n\n".join(parts) + "\n"


def queue_page(rows: Sequence[QueueRow], variants: Sequence[str]) -> str:
    """Markdown: what was compared, the tables, what could not take part, and what it ran on."""
    left_out, rounds = absent(QUEUE_VARIANTS), len(rows[0].samples[variants[0]])
    parts = [_HEAD, queue_tables(rows, variants), *([f"{left_out}\n"] if left_out else []), under(machine(), rounds)]
    return "\n".join(parts) + "\n"


def write_queues(folder: Path, rows: Sequence[QueueRow], variants: Sequence[str]) -> Path:
    """Writes `queues.json` and `queues.md`; gives the second."""
    folder.mkdir(exist_ok=True)
    rounds = len(rows[0].samples[variants[0]])
    samples = {row.case.name: {v: [asdict(each) for each in of] for v, of in row.samples.items()} for row in rows}
    data = {"machine": machine(), "rounds": rounds, "samples": samples}
    (folder / "queues.json").write_text(json.dumps(data, indent=1) + "\n")
    page = folder / "queues.md"
    page.write_text(queue_page(rows, variants))
    return page


def bench_queues(folder: Path, *, quick: bool, rounds: int, told: Callable[[str], None]) -> None:
    """Checks, measures and prints; writes the page unless `quick`."""
    variants = present(QUEUE_VARIANTS)
    told("queue: every variant deletes every message")
    check_variants(variants)
    window = Window(warm_up_s=0.5, seconds=0.5) if quick else Window()
    rows = compare_queues(CASES, variants, 1 if quick else rounds, window, told)
    told("")
    sys.stdout.write("\n" + queue_page(rows, variants))
    if not quick:
        sys.stdout.write(f"\nwritten to {write_queues(folder, rows, variants)}, and as JSON beside it\n")


_HEAD = """# esm beside other pollers of a queue

`make bench` made this page. A server of canned answers runs on one core, one client at a time on another, and every
message is received, handled and deleted, ten to a call. What counts is the CPU time of the client, user and system, all
threads, for the messages that the server saw deleted, after a warm-up of 1.2 s; of 5 s of CPU on Node, for the
just-in-time compiler. The variants take turns, every other round the other way round; figures are medians, ratios are
taken within a round. Before anything is measured, each variant has to delete each of 3,000 messages.

`esm` is the public `Worker` with its store in SQLite. boto3 and aiobotocore are loops over `receive_message` and
`delete_message_batch` that build Lambda's event and do nothing when something fails; sqs-consumer has
`handleMessageBatch` and its batch delete, and hands out its own messages. One handler in flight does nothing. Fifty
wait 5 ms each: boto3 has fifty threads for them, aiobotocore fifty tasks, sqs-consumer fifty consumers on one client,
esm five provisioned pollers of ten. Lambda allows no concurrency of one, so esm has two;
doing nothing, they never overlap.
`floor` is a blocking socket, a signature, a typed decoder and the event: it survives nothing, and asks for one thing
at a time, so with one handler it sleeps while the server works; waking is in its CPU.
`localstack` is the `SqsPoller` of LocalStack called without its pauses, one in a thread for each handler.
"""


def _cost(sample: QueueSample) -> float:
    return sample.us_a_message


def _speed(sample: QueueSample) -> float:
    return sample.messages_a_second


def _server_cost(sample: QueueSample) -> float:
    return sample.server_cpu_s * 1e6 / sample.messages


def _most_out(row: QueueRow, variant: str) -> int:
    return max(sample.most_out for sample in row.samples[variant])


def _ahead(row: QueueRow, variant: str) -> str:
    return f"{1 / row.times(variant, ESM, _speed):.2f}"


def _table(title: str, rows: Sequence[QueueRow], variants: list[str], cell: Callable[[QueueRow, str], str]) -> str:
    return table([[title, *variants], *([row.case.name, *(cell(row, v) for v in variants)] for row in rows)])
