"""The benchmark of queues measures what it says: messages are whole, every poller deletes every one, once.

What is installed for the benchmark alone is not here: `make bench` checks it in the same way before it measures.
"""

from __future__ import annotations

import json
from hashlib import md5
from pathlib import Path

import pytest

from tests.bench.peers import PEERS
from tests.bench.queue_client import QUEUE_VARIANTS
from tests.bench.queue_meter import Window, drain_all
from tests.bench.queue_server import COUNTER_BYTES, Counter, Queue
from tests.bench.queues import QueueCase, compare_queues, queue_tables, write_queues

pytestmark = pytest.mark.service

PYTHON = [variant for variant in QUEUE_VARIANTS if variant not in PEERS]
TOTAL = 700


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    path = tmp_path / "counter"
    path.write_bytes(bytes(COUNTER_BYTES))
    return Counter(path)


def test_messages_are_what_sqs_answers_and_no_two_are_the_same(counter: Counter) -> None:
    queue, answers = Queue(200, 0, counter), list[bytes]()
    for count in (10, 3):
        queue.answer("receivemessage", b'{"MaxNumberOfMessages":%d}' % count, "", answers.append)
    messages = [message for answer in answers for message in json.loads(answer)["Messages"]]
    assert len({message["MessageId"] for message in messages}) == 13
    assert len({message["ReceiptHandle"] for message in messages}) == 13
    assert all(len(message["ReceiptHandle"]) == 410 for message in messages)
    assert all(
        md5(message["Body"].encode(), usedforsecurity=False).hexdigest() == message["MD5OfBody"] for message in messages
    )
    assert counter.read() == (2, 13, 0, 0, 13)


def test_with_a_total_a_message_counts_once_however_often_it_is_deleted(counter: Counter) -> None:
    queue, answers = Queue(200, 2, counter), list[bytes]()
    queue.answer("receivemessage", b'{"MaxNumberOfMessages":10}', "", answers.append)
    entries = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in json.loads(answers[0])["Messages"]]
    for _ in range(2):
        queue.answer("deletemessagebatch", json.dumps({"Entries": entries}).encode(), "", answers.append)
    assert counter.read() == (1, 2, 2, 2, 2)
    assert [done["Id"] for done in json.loads(answers[1])["Successful"]] == [entry["Id"] for entry in entries]


@pytest.mark.parametrize("variant", PYTHON)
def test_a_poller_deletes_every_message_with_one_handler_and_with_fifty(variant: str) -> None:
    one = drain_all(variant, 1, 0, TOTAL)
    for takes_ms in (40, 80, 160):  # a machine that does something else meanwhile begins fewer in that time
        many = drain_all(variant, 50, takes_ms, TOTAL)
        if many.most_out >= 250:
            break
    assert (one.given, one.deleted) == (many.given, many.deleted) == (TOTAL, TOTAL)
    assert one.most_out <= 100  # more is received while the first deletes wait for connections of their own
    assert many.most_out >= 250


def test_a_comparison_of_queues_becomes_a_page(tmp_path: Path) -> None:
    case, told = QueueCase("tiny", 1, 0), list[str]()
    rows = compare_queues([case], ["esm"], 2, Window(warm_up_s=0, seconds=0.1), told.append)
    assert [line.rpartition(", ")[2] for line in told] == ["round 1 of 2: esm", "round 2 of 2: esm"]
    assert all(sample.messages > 0 and sample.cpu_s > 0 for sample in rows[0].samples["esm"])
    assert queue_tables(rows, ["esm"]) in write_queues(tmp_path, rows, ["esm"]).read_text()
    assert len(json.loads((tmp_path / "queues.json").read_text())["samples"]["tiny"]["esm"]) == 2
