"""What records take in an event: measured, or guessed as long as no batch can fill one.

measured <--a batch may fill an event-- page --no batch of it can--> guessed
                    ^                                                   |
                    +--one of its last and of the next page may---------+

Measuring is a twelfth of all that a small record costs (measured), and most batches are far from 6 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from esm.machine.lane import Lane
from esm.machine.rules import StreamRules

__all__ = ["Guess", "Sizing"]


class Guess(NamedTuple):
    """Bytes of the records of a page: of each on `average`, and of a batch of them at `most`."""

    average: int
    most: int


class Sizing:
    """Puts the records of one shard into their lanes.

    `sizes`: the bytes of each; `most`: those of any so many records of a page, or some more, by its `json_bytes`;
    `None`: all is measured.
    """

    def __init__(
        self,
        rules: StreamRules,
        sizes: Callable[[Sequence[Any]], list[int]],
        most: Callable[[Sequence[Any], int, int], int] | None,
    ) -> None:
        self._rules, self._sizes, self._most = rules, sizes, most

    def guess(self, records: Sequence[Any], json_bytes: int | None) -> Guess | None:
        """What the records of a page take; `None`: they have to be measured.

        Only of one lane, which they leave as they came: of several one may hold up what is largest in every page.
        """
        rules = self._rules
        if self._most is None or json_bytes is None or rules.parallelization_factor > 1:
            return None
        count = len(records)
        together = self._most(records, json_bytes, count)
        most = together if count <= rules.batch_size else self._most(records, json_bytes, rules.batch_size)
        return Guess(together // count, most) if most < rules.payload_bytes_max else None

    def put(self, lane: Lane, records: Sequence[Any], guess: Guess | None) -> tuple[int, int]:
        """Puts them into their lane; gives what they take, and how much more that is which waited there before."""
        if not records:
            return 0, 0
        more = 0
        if guess is not None and lane.may_fill(self._rules, guess.most):
            more = lane.measure_last(self._sizes, self._rules.batch_size - 1)
        if guess is not None and not lane.may_fill(self._rules, guess.most):
            return lane.push_guessed(records, guess.average, guess.most, self._rules.batch_size), more
        more += lane.measure(self._sizes)  # nothing that is measured stands behind what is guessed
        return lane.push(records, self._sizes(records)), more
