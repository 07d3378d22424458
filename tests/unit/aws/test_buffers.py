"""Memory for large bodies: used again, for as many as are on their way at once, and never more of it than is kept."""

from __future__ import annotations

import pytest

from esm.aws.connection import ROUND_BYTES, SPARE_BYTES, Buffers

MIB = 1 << 20


@pytest.fixture
def buffers() -> Buffers:
    return Buffers(most=64 * MIB)


def test_bodies_that_come_together_each_have_their_memory_and_so_have_the_next(buffers: Buffers) -> None:
    together = [buffers.take(3 * MIB) for _ in range(4)]
    assert len({id(buffer) for buffer in together}) == len(together)
    for buffer in together:
        buffers.give_back(buffer)
    assert {id(buffers.take(3 * MIB)) for _ in range(4)} == {id(buffer) for buffer in together}


def test_a_body_a_little_larger_fits_what_the_one_before_it_had(buffers: Buffers) -> None:
    first = buffers.take(ROUND_BYTES + 1)
    buffers.give_back(first)
    assert buffers.take(2 * ROUND_BYTES) is first


def test_a_body_is_given_the_smallest_that_holds_it(buffers: Buffers) -> None:
    small, large = buffers.take(MIB), buffers.take(4 * MIB)
    buffers.give_back(large)
    buffers.give_back(small)
    assert buffers.take(MIB) is small
    assert buffers.take(MIB) is large
    fresh = buffers.take(MIB)
    assert fresh is not small
    assert len(fresh) == MIB


def test_no_more_is_kept_than_may_be_and_the_largest_of_it(buffers: Buffers) -> None:
    sizes = [MIB, SPARE_BYTES // 2, SPARE_BYTES // 2, SPARE_BYTES + 1]
    taken = [buffers.take(size) for size in sizes]
    for buffer in taken:
        buffers.give_back(buffer)
    kept = [buffers.take(1) for _ in sizes]
    assert [any(buffer is each for each in kept) for buffer in taken] == [False, True, True, False]
