"""The memory that large answers are read into, used again and bounded."""

from __future__ import annotations

from esm.aws.connection import SPARE_BYTES, Buffers

MIB = 1 << 20


def test_several_are_used_again() -> None:
    buffers = Buffers(most=MIB)
    taken = [buffers.take(size) for size in (MIB, 2 * MIB, 3 * MIB)]
    for buffer in taken:
        buffers.give_back(buffer)
    assert {id(buffers.take(MIB)) for _ in taken} == {id(buffer) for buffer in taken}


def test_what_is_out_is_not_given_again() -> None:
    buffers = Buffers(most=MIB)
    buffers.give_back(buffers.take(MIB))
    assert buffers.take(MIB) is not buffers.take(MIB)


def test_one_that_is_too_small_is_left() -> None:
    buffers = Buffers(most=MIB)
    small = buffers.take(MIB)
    buffers.give_back(small)
    assert len(buffers.take(MIB + 1)) == MIB + 1
    assert buffers.take(MIB) is small


def test_those_used_last_are_kept_and_together_they_are_bounded() -> None:
    buffers = Buffers(most=MIB)
    half = SPARE_BYTES // 2
    first, second, third = (buffers.take(half) for _ in range(3))
    for buffer in (first, second, third):
        buffers.give_back(buffer)
    again = [buffers.take(half) for _ in range(3)]
    assert again[0] is third
    assert again[1] is second
    assert again[2] is not first


def test_one_that_is_too_large_drives_none_out() -> None:
    buffers = Buffers(most=MIB)
    small, large = buffers.take(MIB), buffers.take(SPARE_BYTES + 1)
    buffers.give_back(small)
    buffers.give_back(large)
    assert buffers.take(MIB) is small
