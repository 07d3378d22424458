"""How far a shard has come: what each lane has settled, and what that makes of the checkpoint.

A lane settles in order, so one sequence number says how far it is. A lane with nothing open is as far as the shard has
been read. After a restart reading begins at the lowest lane; what the others had settled beyond it comes again and is
passed over, also when the number of lanes has changed in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from esm.errors import InvariantError
from esm.records.position import Checkpoint, LanePositions, SequenceNumber

__all__ = ["Progress"]


class Progress:
    """What is settled of one shard; the only writer of its checkpoint."""

    def __init__(self, checkpoint: Checkpoint, lanes: int) -> None:
        self._resumed = checkpoint
        self._start = checkpoint.start
        self._read = checkpoint.settled
        same = [layer.settled for layer in checkpoint.lanes if len(layer.settled) == lanes]
        self._earlier = tuple(layer for layer in checkpoint.lanes if len(layer.settled) != lanes)
        start = checkpoint.settled
        self._settled = [_furthest([start, *(layer[lane] for layer in same)]) for lane in range(lanes)]
        self._horizon = _furthest(layer.highest for layer in checkpoint.lanes)
        self.catching_up = self._horizon is not None and _is_before(self._read, self._horizon)

    @property
    def read(self) -> SequenceNumber | None:
        """The last record that was read; `None` before the first."""
        return self._read

    def begins_at(self, sequence_number: SequenceNumber) -> bool:
        """Whether this is the record that a start at the tip turns out to mean.

        It has to be stored before anything is delivered: whoever came back to the moment instead might find a record
        that was put just then and not seen, and deliver it behind those that followed it.
        """
        if self._start.type != "LATEST" or self._read is not None or self._start.sequence_number is not None:
            return False
        self._start = self._start.begun(sequence_number)
        return True

    def follows(self, sequence_number: SequenceNumber) -> None:
        """Checks that a page begins behind what was read: nothing is accepted twice."""
        if not _is_before(self._read, sequence_number):
            raise InvariantError(f"a page begins at {sequence_number}, not behind {self._read}")

    def unsettled(self, records: Sequence[Any]) -> Sequence[Any]:
        """Those of a page that were not settled before the restart."""
        covers = self._resumed.covers
        return [record for record in records if not covers(record.key, record.sequence_number)]

    def lane_opens(self, lane: int, after: SequenceNumber | None) -> None:
        """A lane that had nothing open is about to get a record; `after` is the one before it in the shard."""
        if self.catching_up:
            after = _furthest([self._settled[lane], after])
        self._settled[lane] = after

    def lane_settles(self, lane: int, sequence_number: SequenceNumber) -> None:
        """Everything of the lane at or below `sequence_number` is settled."""
        settled = self._settled[lane]
        if not _is_before(settled, sequence_number):
            raise InvariantError(f"lane {lane} settled {sequence_number} after {settled}")
        self._settled[lane] = sequence_number

    def read_to(self, sequence_number: SequenceNumber) -> None:
        """Everything of the shard at or below `sequence_number` has been accepted."""
        self._read = sequence_number
        self.catching_up = self.catching_up and _is_before(sequence_number, self._horizon)

    def checkpoint(self, open_lanes: Sequence[bool]) -> Checkpoint:
        """What is settled now; `open_lanes` says which lanes hold records that are not."""
        settled = tuple(  # of a list: a generator costs more, and this is done for every batch
            [self._settled[lane] if is_open else self._idle_at(lane) for lane, is_open in enumerate(open_lanes)]
        )
        if self._earlier and not any(_is_before(number, self._horizon) for number in settled):
            # Until then a lane may be held up at a record below some that other lanes of an earlier count had settled.
            self._earlier = ()
        if not any(settled) and not self._earlier:
            return Checkpoint(self._start)
        return Checkpoint(self._start, (*self._earlier, LanePositions(settled)))

    def _idle_at(self, lane: int) -> SequenceNumber | None:
        return _furthest([self._settled[lane], self._read]) if self.catching_up else self._read


def _furthest(numbers: Iterable[SequenceNumber | None]) -> SequenceNumber | None:
    return max((n for n in numbers if n is not None), key=int, default=None)


def _is_before(number: SequenceNumber | None, other: SequenceNumber | None) -> bool:
    if number is None or other is None:
        return other is not None
    # Of as many digits, as nearly all are, text has the order of the numbers, and is compared at a sixth of the price.
    return number < other if len(number) == len(other) else int(number) < int(other)
