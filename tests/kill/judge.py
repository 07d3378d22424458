"""Judges a round from outside: by the journal of the function, the positions in the file, and the queue.

Nothing that the worker says of itself counts. See `judge` for what must hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from esm.records.position import Checkpoint, lane_of

__all__ = ["Deed", "Life", "Put", "Verdict", "judge", "read_journal"]


@dataclass(frozen=True)
class Put:
    """A record on the stream."""

    shard: str
    number: str
    key: str
    poison: bool = False


@dataclass(frozen=True)
class Deed:
    """A line of the journal."""

    life: int
    what: str
    request_id: str
    shard: str
    number: str


@dataclass(frozen=True)
class Life:
    """`point`: where it was killed, "" if it ended by itself. What stood in the file, and in the queue, when it was."""

    number: int
    batch_size: int
    factor: int
    point: str = ""
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    documents: int = 0


@dataclass
class Verdict:
    """`faults`: what does not hold, in words. `redelivered`: the most of a lane after a kill, and the batch size."""

    records: int = 0
    lost: int = 0
    out_of_order: int = 0
    redelivered: tuple[int, int] = (0, 0)
    redelivered_in_all: int = 0
    over_a_batch: int = 0
    in_handler: int = 0
    mid_batch: int = 0
    faults: list[str] = field(default_factory=list)


def judge(
    puts: Sequence[Put], lives: Sequence[Life], deeds: Iterable[Deed], documents: list[dict[str, Any]]
) -> Verdict:
    """What is to be said of the whole round.

    No record is lost. First deliveries and completions of a key are in order. A record that a position covers is not
    delivered again, and was done, or its failure record is in the queue. After a kill at most a batch a lane of what
    was done comes again; after a clean stop, and within a life, nothing does. A failure record names the poison and no
    other.
    """
    court = Court(puts, lives)
    for deed in deeds:
        court.hear(deed)
    return court.close(documents)


def read_journal(text: str) -> list[Deed]:
    """The lines of a journal that are about records. Raises `ValueError` for a torn one."""
    deeds = []
    for line in text.splitlines():
        life, what, request_id, shard, number, _key = line.split(" ")
        if number != "-":
            deeds.append(Deed(int(life), what, request_id, shard, number))
    return deeds


class Court:
    """Hears a journal deed by deed."""

    def __init__(self, puts: Sequence[Put], lives: Sequence[Life]) -> None:
        self.verdict = Verdict(records=len(puts))
        self._puts = {(put.shard, put.number): put for put in puts}
        self._lives = {life.number: life for life in lives}
        self._left = sorted(self._lives)
        self._started: dict[tuple[str, str], int] = {}
        self._done: dict[tuple[str, str], int] = {}
        self._out: set[tuple[str, str]] = set()
        self._begun: set[tuple[str, str]] = set()
        self._last: dict[tuple[str, str], int] = {}
        self._again: dict[tuple[int, str, int], set[str]] = defaultdict(set)

    def hear(self, deed: Deed) -> None:
        """The next line."""
        while self._left and self._left[0] < deed.life:
            self._life_ends(self._lives[self._left.pop(0)])
        at = deed.shard, deed.number
        if at not in self._puts:
            self._fault(f"{at} was never put")
        elif deed.what == "started":
            self._start(deed, self._puts[at])
            self._out.add(at)
            self._begun.add(at)
        else:
            self._out.discard(at)
            if deed.what == "done":
                self._complete(deed, self._puts[at])

    def close(self, documents: list[dict[str, Any]]) -> Verdict:
        """After the last line."""
        for number in self._left:
            self._life_ends(self._lives[number])
        verdict = self.verdict
        named = [self._named(document) for document in documents]
        lost = [at for at, put in self._puts.items() if at not in (named if put.poison else self._done)]
        verdict.lost = len(lost)
        verdict.faults += [f"{at} is lost" for at in lost]
        for (number, shard, lane), again in self._again.items():
            life = self._lives[number]
            verdict.redelivered = max(verdict.redelivered, (len(again), life.batch_size))
            verdict.redelivered_in_all += len(again)
            allowed = life.batch_size if life.point else 0
            if len(again) > allowed:
                verdict.over_a_batch += 1
                self._fault(f"life {number}: {len(again)} records of {shard}, lane {lane}, came again; {allowed} may")
        return verdict

    def _start(self, deed: Deed, put: Put) -> None:
        at = deed.shard, deed.number
        before = self._lives.get(deed.life - 1)
        if before is not None and _covers(before, put):
            self._fault(f"life {deed.life}: {at} is covered by a position, and was delivered again")
        if at in self._done:
            life = self._lives[self._done[at]]
            if life.number == deed.life:
                self._fault(f"life {deed.life}: {at} was done, and delivered again")
            self._again[life.number, put.shard, lane_of(put.key, life.factor)].add(put.number)
        if at not in self._started:
            self._started[at] = deed.life
            self._in_order("delivered", put)

    def _complete(self, deed: Deed, put: Put) -> None:
        at = deed.shard, deed.number
        if put.poison:
            self._fault(f"life {deed.life}: the poison was done")
        if at not in self._done:
            self._in_order("done", put)
        self._done[at] = deed.life

    def _in_order(self, what: str, put: Put) -> None:
        number, last = int(put.number), self._last.get((what, put.key), -1)
        self._last[what, put.key] = max(number, last)
        if number < last:
            self.verdict.out_of_order += 1
            self._fault(f"{put.number} of {put.key} was {what} after {last}")

    def _life_ends(self, life: Life) -> None:
        """What its positions say was done, was."""
        for at, put in self._puts.items():
            if _covers(life, put) and not (life.documents if put.poison else at in self._done):
                self._fault(f"life {life.number}: {at} is covered by a position, and was not done")
        before = self._lives.get(life.number - 1)
        for shard, checkpoint in (before.checkpoints if before else {}).items():
            if int(checkpoint.settled or 0) > int(life.checkpoints[shard].settled or 0):
                self._fault(f"life {life.number}: the position of {shard} went back")
        if life.point:
            self.verdict.in_handler += bool(self._out)
            self.verdict.mid_batch += any(not _covers(life, self._puts[at]) for at in self._begun)
        self._out.clear()
        self._begun.clear()

    def _named(self, document: dict[str, Any]) -> tuple[str, str]:
        info = document["KinesisBatchInfo"]
        at: tuple[str, str] = info["shardId"], info["startSequenceNumber"]
        whole = (info["endSequenceNumber"], info["batchSize"], document["requestContext"]["condition"])
        if whole != (at[1], 1, "RetryAttemptsExhausted") or at not in self._puts or not self._puts[at].poison:
            self._fault(f"a failure record names {at} to {whole}")
        return at

    def _fault(self, text: str) -> None:
        self.verdict.faults.append(text)


def _covers(life: Life, put: Put) -> bool:
    checkpoint = life.checkpoints.get(put.shard)
    return checkpoint is not None and checkpoint.covers(put.key, put.number)
