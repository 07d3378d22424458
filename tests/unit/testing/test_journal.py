"""The journal: order, digest, and what it says to the reader of a failure."""

from __future__ import annotations

from esm.testing.journal import FaultInjected, Journal, RecordPut, WorkerKilled


def _put(number: int) -> RecordPut:
    return RecordPut(at=number, stream="s", shard="shardId-000000000000", key="k", sequence_number=str(number))


def _journal(*numbers: int) -> Journal:
    journal = Journal()
    for number in numbers:
        journal.add(_put(number))
    return journal


def test_it_keeps_the_order() -> None:
    journal = _journal(3, 1, 2)
    journal.add(WorkerKilled(at=4, worker="w", kind="renew", nth=2))
    assert [entry.sequence_number for entry in journal.of(RecordPut)] == ["3", "1", "2"]
    assert [entry.nth for entry in journal.of(WorkerKilled)] == [2]


def test_a_digest_tells_histories_apart() -> None:
    assert _journal(1, 2).digest() == _journal(1, 2).digest()
    assert _journal(1, 2).digest() != _journal(2, 1).digest()


def test_once_closed_it_takes_no_more() -> None:
    journal = _journal(1)
    journal.close()
    journal.add(_put(2))
    assert len(journal.entries) == 1


def test_the_tail_is_for_reading() -> None:
    lines = _journal(*range(10)).tail(2).splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("9 RecordPut ")
    assert "sequence_number='9'" in lines[1]


def test_counts_say_what_a_run_reached() -> None:
    journal = _journal(1, 2)
    journal.add(FaultInjected(at=3, kind="GetRecords", fault="throttle", effect=False))
    assert journal.counts() == {"RecordPut": 2, "FaultInjected": 1, "GetRecords: throttle": 1}
