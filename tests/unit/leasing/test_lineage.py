"""Parents before children, over tables and over random trees of splits and merges."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from esm.leasing import lineage
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.lineage import TRANSITIONS, plan, ready, removable, stages, waiting
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.record import Shard

HORIZON = Position.trim_horizon()
LATEST = Position.latest(1_000)
TIMESTAMP = Position.at_timestamp(500)

# 1 split into 2 and 3, which merged into 4; 5 stands alone.
TREE = [
    Shard("1", closed=True),
    Shard("2", ("1",), closed=True),
    Shard("3", ("1",), closed=True),
    Shard("4", ("2", "3")),
    Shard("5"),
]


def planned(shards: Iterable[Shard], leases: Iterable[Lease] = (), start: Position = HORIZON) -> list[Lease]:
    return plan(shards, leases, start, "m", "s")


def lease(
    shard_id: str, *parents: str, start: Position = HORIZON, ended: bool = False, owner: str | None = None
) -> Lease:
    return Lease(LeaseKey("m", "s", shard_id), Checkpoint(start, ended=ended), parents, owner)


def ids(leases: Iterable[Lease]) -> list[str]:
    return [one.key.shard_id for one in leases]


# A stream's first sight


@pytest.mark.parametrize("start", [HORIZON, TIMESTAMP])
def test_at_first_sight_every_shard_begins_at_the_starting_position(start: Position) -> None:
    leases = planned(TREE, start=start)
    assert ids(leases) == ["1", "2", "3", "4", "5"]
    assert {one.checkpoint for one in leases} == {Checkpoint(start)}
    assert [one.parents for one in leases] == [(), ("1",), ("1",), ("2", "3"), ()]
    assert all(one == Lease(LeaseKey("m", "s", one.key.shard_id), Checkpoint(start), one.parents) for one in leases)


def test_latest_at_first_sight_ends_closed_shards_and_reads_open_ones_from_the_tip() -> None:
    leases = planned(TREE, start=LATEST)
    assert {one.key.shard_id: one.checkpoint for one in leases} == {
        "1": Checkpoint(LATEST, ended=True),
        "2": Checkpoint(LATEST, ended=True),
        "3": Checkpoint(LATEST, ended=True),
        "4": Checkpoint(LATEST),
        "5": Checkpoint(LATEST),
    }
    assert ids(ready(leases)) == ["4", "5"]


def test_latest_leaves_no_gap_below_a_parent_that_still_shows_as_open() -> None:
    leases = planned([Shard("1"), Shard("2", ("1",)), Shard("3", ("trimmed",))], start=LATEST)
    assert [one.checkpoint for one in leases] == [Checkpoint(LATEST), Checkpoint(HORIZON), Checkpoint(LATEST)]


def test_leases_of_another_stream_or_mapping_do_not_count() -> None:
    others = [
        replace(lease("5"), key=LeaseKey("m", "made anew", "5")),
        replace(lease("5"), key=LeaseKey("n", "s", "5")),
    ]
    assert planned(TREE, others, LATEST) == planned(TREE, start=LATEST)


def test_no_shards_need_no_leases() -> None:
    assert planned([], start=LATEST) == []
    assert planned([], [lease("1")]) == []


# Later


@pytest.mark.parametrize("start", [HORIZON, LATEST, TIMESTAMP])
def test_a_shard_that_appears_later_is_read_from_its_beginning(start: Position) -> None:
    """Also with `LATEST`: only what was there when the mapping began has a starting position."""
    new = planned(TREE, [lease("1", start=start), lease("5", start=start)], start)
    assert new == [lease("2", "1"), lease("3", "1"), lease("4", "2", "3")]


def test_when_all_shards_have_leases_there_is_nothing_to_do() -> None:
    leases = planned(TREE, start=LATEST)
    assert planned(TREE, leases, LATEST) == []
    assert planned(TREE[:2], leases, LATEST) == []


def test_an_ended_lease_alone_is_not_a_first_sight() -> None:
    assert planned([Shard("5")], [lease("1", ended=True)], LATEST) == [lease("5")]


@pytest.mark.parametrize(
    ("start", "expected"),
    [(HORIZON, Checkpoint(HORIZON)), (TIMESTAMP, Checkpoint(TIMESTAMP)), (LATEST, Checkpoint(LATEST, ended=True))],
)
def test_an_ancestor_that_is_listed_late_begins_as_its_descendants_did(start: Position, expected: Checkpoint) -> None:
    new = planned(TREE, [lease("4", "2", "3", start=start), lease("5", start=start)], start)
    assert {one.key.shard_id: one.checkpoint for one in new} == dict.fromkeys(["1", "2", "3"], expected)


def test_shards_that_name_each_other_as_parents_end_no_search() -> None:
    new = planned([Shard("1", ("2",)), Shard("2", ("1",)), Shard("3", ("3",))], [lease("9")], LATEST)
    assert [one.checkpoint for one in new] == [Checkpoint(HORIZON)] * 3


@given(st.permutations(TREE * 2), st.sampled_from([HORIZON, LATEST, TIMESTAMP]), st.sets(st.sampled_from("12345")))
def test_order_and_repetition_of_the_list_do_not_matter(shards: list[Shard], start: Position, known: set[str]) -> None:
    leases = [one for one in planned(TREE, start=start) if one.key.shard_id in known]
    assert planned(shards, leases, start) == planned(TREE, leases, start)


@pytest.mark.parametrize("flip", [False, True])
def test_a_shard_that_closed_between_two_pages_is_read(flip: bool) -> None:
    pages = [Shard("1"), Shard("1", closed=True)]
    assert planned(reversed(pages) if flip else pages, start=LATEST) == [lease("1", start=LATEST)]


# What may be read


def test_a_child_waits_for_all_parents_that_have_a_lease() -> None:
    leases = [
        lease("1", ended=True),
        lease("2", "1", ended=True),
        lease("3", "1"),
        lease("4", "2", "3"),
        lease("5", "0"),
    ]
    assert ids(ready(leases)) == ["3", "5"]  # 0 was trimmed before it was ever listed
    assert waiting(leases) == [(leases[3], ("3",))]
    both = [replace(one, checkpoint=Checkpoint(HORIZON)) for one in leases]
    assert [(one.key.shard_id, pending) for one, pending in waiting(both)] == [
        ("2", ("1",)),
        ("3", ("1",)),
        ("4", ("2", "3")),
    ]


def test_an_owned_lease_stays_ready_and_an_ended_one_is_neither() -> None:
    leases = [lease("1", owner="a"), lease("2", ended=True), lease("3", "1", ended=True)]
    assert ids(ready(leases)) == ["1"]
    assert waiting(leases) == []


def test_a_parent_is_one_of_the_same_stream_and_mapping() -> None:
    child = lease("2", "1")
    others = [
        replace(lease("1"), key=LeaseKey("m", "made anew", "1")),
        replace(lease("1"), key=LeaseKey("n", "s", "1")),
    ]
    assert child in ready([*others, child])
    assert ready(iter([lease("1"), child])) == [lease("1")]


def test_stages_of_leases() -> None:
    leases = [
        lease("1"),
        lease("2", "1"),
        lease("3", "1", owner="a"),
        lease("4", ended=True, owner="a"),
        lease("5", "4"),
    ]
    found = {key.shard_id: stage for key, stage in stages(leases).items()}
    assert found == {"1": "ready", "2": "waiting", "3": "owned", "4": "ended", "5": "ready"}


# Tombstones


def test_an_ended_lease_goes_when_it_is_not_listed_and_its_children_are_under_way() -> None:
    begun = replace(lease("2", "1"), checkpoint=Checkpoint(HORIZON, (LanePositions(("5",)),)))
    for children in ([begun], [lease("2", "1", owner="a")], [lease("2", "1", ended=True), begun]):
        parent = lease("1", ended=True)
        assert removable([parent, *children], TREE[1:]) == [parent]


@pytest.mark.parametrize(
    ("parent", "children", "shards"),
    [
        (lease("1"), [lease("2", "1", owner="a")], []),
        (lease("1", ended=True, owner="a"), [lease("2", "1", owner="a")], []),
        (lease("1", ended=True), [lease("2", "1", owner="a")], TREE),
        (lease("1", ended=True), [lease("2", "1", owner="a"), lease("3", "1")], []),
        (lease("1", ended=True), [], []),
    ],
    ids=["not ended", "still owned", "still listed", "a child has not begun", "the youngest of its line"],
)
def test_a_lease_that_is_still_needed_stays(parent: Lease, children: list[Lease], shards: list[Shard]) -> None:
    assert removable([parent, *children], shards) == []


def test_a_stream_always_keeps_a_lease_so_that_it_is_never_seen_for_the_first_time_again() -> None:
    leases = [replace(one, checkpoint=Checkpoint(HORIZON, ended=True)) for one in planned(TREE)]
    assert ids(removable(leases, [])) == ["1", "2", "3"]


# Random trees


@st.composite
def trees(draw: st.DrawFn) -> list[Shard]:
    """Shards in the order in which splits and merges made them."""
    shards = [Shard(f"{n:03}") for n in range(draw(st.integers(1, 4)))]
    for _ in range(draw(st.integers(0, 8))):
        open_now = [shard for shard in shards if not shard.closed]
        merge = len(open_now) > 1 and draw(st.booleans())
        parents = draw(st.permutations(open_now))[: 2 if merge else 1]
        shards = [replace(shard, closed=True) if shard in parents else shard for shard in shards]
        names = tuple(shard.shard_id for shard in parents)
        shards += [Shard(f"{len(shards) + n:03}", names) for n in range(1 if merge else 2)]
    return shards


@given(trees(), st.sampled_from([HORIZON, LATEST, TIMESTAMP]), st.integers(0, 2**32), st.data())
def test_children_are_read_after_their_parents_and_every_shard_is_read_once(
    shards: list[Shard], start: Position, seed: int, data: st.DataObject
) -> None:
    """The list grows while shards are read, comes in any order, and loses what was trimmed."""
    chance = random.Random(seed)
    parents_of = {shard.shard_id: shard.parents for shard in shards}
    listed = data.draw(st.integers(1, len(shards)))
    leases: dict[str, Lease] = {}
    finished: list[str] = []
    while len(finished) < len(shards):
        page = chance.sample(shards[:listed], listed)
        new = planned(page, leases.values(), start)
        assert not set(ids(new)) & leases.keys()
        leases |= {one.key.shard_id: one for one in new}
        finished += [one.key.shard_id for one in new if one.checkpoint.ended]
        assert {one.key.shard_id for one, _ in waiting(leases.values())}.isdisjoint(ids(ready(leases.values())))
        if now := ready(leases.values()):
            ended = chance.choice(now).key.shard_id
            assert ended not in finished
            assert all(parent in finished for parent in parents_of[ended] if parent in leases)
            leases[ended] = replace(leases[ended], checkpoint=replace(leases[ended].checkpoint, ended=True))
            finished.append(ended)
        else:
            assert listed < len(shards)  # else somebody waits for ever
        listed = min(len(shards), listed + chance.randint(0, 2) + (not now))
    assert sorted(finished) == sorted(leases) == [shard.shard_id for shard in shards]
    assert ready(leases.values()) == []
    assert waiting(leases.values()) == []


@given(trees(), st.integers(0, 2**32))
def test_leases_move_between_stages_as_the_diagram_has_it(shards: list[Shard], seed: int) -> None:
    chance = random.Random(seed)
    leases = {one.key: one for one in planned(shards)}
    for _ in range(3 * len(leases)):
        before = stages(leases.values())
        key = chance.choice(sorted(leases))
        if before[key] == "ready":
            leases[key] = replace(leases[key], owner="a")
        elif before[key] == "owned" and chance.random() < 0.7:
            leases[key] = replace(leases[key], checkpoint=Checkpoint(HORIZON, ended=True))
        elif before[key] == "owned":
            leases[key] = replace(leases[key], owner=None)
        after = stages(leases.values())
        assert all(after[one] == before[one] or after[one] in TRANSITIONS[before[one]] for one in leases)


def test_the_diagram_is_the_table_and_every_line_of_it_happens() -> None:
    assert lineage.__doc__ is not None
    lines = re.findall(r"^ +(\w+) +-- [\w ]+ -+> +(\w+)$", lineage.__doc__, re.MULTILINE)
    assert sorted(lines) == sorted((before, after) for before, many in TRANSITIONS.items() for after in many)

    def stage(*leases: Lease) -> str:
        return stages(leases)[leases[0].key]

    child, parent, done = lease("2", "1"), lease("1"), lease("1", ended=True)
    taken, ended = replace(child, owner="a"), replace(child, checkpoint=Checkpoint(HORIZON, ended=True))
    happened = [
        (stage(child, parent), stage(child, done)),
        (stage(child, done), stage(taken, done)),
        (stage(taken, done), stage(child, done)),
        (stage(taken, done), stage(ended, done)),
        (stage(child), stage(child, parent)),
        (stage(taken, parent), stage(child, parent)),
    ]
    assert happened == lines
