"""The vectors of queues and the table of answers, as data: played under virtual time, and over HTTP.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

__all__ = ["ANSWERS", "VECTORS", "Answer", "Handler", "Played", "QueueVector", "Seen", "check", "raising"]

PARTIAL = ["ReportBatchItemFailures"]

Handler = Callable[[dict[str, Any], Any], Any]


@dataclass(frozen=True)
class Seen:
    """One call. `counts`: the receive count of each message. Times in seconds, of any clock."""

    bodies: tuple[str, ...]
    counts: tuple[int, ...]
    started_at: float
    ended_at: float


@dataclass(frozen=True)
class Played:
    """What came of a vector: `deleted`, `left`, `dead`: bodies, sorted."""

    calls: list[Seen]
    deleted: list[str]
    left: list[str]
    dead: list[str]


@dataclass(frozen=True)
class QueueVector:
    """What is sent, and what must come of it.

    `function`: makes it, anew for each play. `calls`: the bodies of each call in turn; with `serial`, only those of all
    together, in calls that do not overlap. A call that has a message of an earlier one begins a visibility timeout
    after it. `group`: all messages' own, for a FIFO queue. `receives`: after which a message is moved away.
    """

    name: str
    sent: Sequence[str]
    function: Callable[[], Handler]
    calls: Sequence[Sequence[str]]
    deleted: Sequence[str]
    left: Sequence[str] = ()
    dead: Sequence[str] = ()
    group: str | None = None
    receives: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    serial: bool = False


def check(vector: QueueVector, played: Played, *, visibility: float, late: float) -> None:
    """Holds one play to its vector. `late`: seconds by which a message may come again too late."""
    calls = played.calls
    if vector.serial:
        assert [body for call in calls for body in call.bodies] == [body for bodies in vector.calls for body in bodies]
        assert all(later.started_at >= one.ended_at for one, later in pairwise(calls))
    else:
        assert [list(call.bodies) for call in calls] == [list(bodies) for bodies in vector.calls]
    assert played.deleted == sorted(vector.deleted)
    assert played.left == sorted(vector.left)
    assert played.dead == sorted(vector.dead)
    seen: dict[str, Seen] = {}
    for call in calls:
        for body, count in zip(call.bodies, call.counts, strict=True):
            before = seen.get(body)
            if before is None:
                assert count == 1
            else:
                assert count == before.counts[before.bodies.index(body)] + 1
                assert visibility - 0.5 < call.started_at - before.started_at < visibility + late
            seen[body] = call


def raising() -> Handler:
    """Fails with every batch."""

    def handle(_event: dict[str, Any], _context: Any) -> None:
        raise ValueError("no")

    return handle


def reporting(*bad: str, key: str = "messageId", times: int | None = None) -> Handler:
    """Names these, `times` times."""
    tries = 0

    def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        over = times is not None and tries > times
        failed = [record[key] for record in event["Records"] if record["body"] in bad and not over]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    return handle


def answering(answer: Any) -> Handler:
    """Says the same to every batch."""
    return lambda event, context: answer


def taking(seconds: float) -> Handler:
    """Waits, and succeeds."""

    async def handle(_event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(seconds)

    return handle


JSON_K = ('{"k": "a"}', "plain", '{"k": "z"}')
MANY = tuple(f"{number:02}" for number in range(35))

VECTORS = [
    QueueVector(
        "U1 a failed message comes again when its visibility timeout is over",
        sent="1",
        function=raising,
        calls=["1", "1"],
        deleted=[],
        dead="1",
        receives=2,
    ),
    QueueVector(
        "U2 of a partial failure all but the listed are deleted",
        sent="1234",
        function=lambda: reporting("2"),
        calls=["1234", "2"],
        deleted="134",
        dead="2",
        receives=2,
        settings={"function_response_types": PARTIAL},
    ),
    QueueVector(
        "U3 of a FIFO batch the prefix is deleted, and the rest comes again in order",
        sent="1234",
        function=lambda: reporting("3", "4", times=1),
        calls=["1234", "34"],
        deleted="1234",
        group="a",
        settings={"function_response_types": PARTIAL},
    ),
    QueueVector(
        "U4 what the filter drops is deleted without an invocation",
        sent=JSON_K,
        function=lambda: answering(None),
        calls=[JSON_K[:1]],
        deleted=JSON_K,
        settings={"filter_criteria": [{"body": {"k": ["a"]}}]},
    ),
    QueueVector(
        "U6 an unknown identifier fails the whole batch",
        sent="1",
        function=lambda: answering({"batchItemFailures": [{"itemIdentifier": "nope"}]}),
        calls=["1", "1"],
        deleted=[],
        dead="1",
        receives=2,
        settings={"function_response_types": PARTIAL},
    ),
    QueueVector(
        "U8 one message group is strictly serial",
        sent=MANY,
        function=lambda: taking(0.2),
        calls=[MANY],
        deleted=MANY,
        group="a",
        serial=True,
    ),
]

# -- the answers of a function that reports batch item failures --------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What becomes of the messages 1 and 2. `reports`: whether the mapping asks for batch item failures."""

    name: str
    function: Callable[[], Handler]
    deleted: str
    reports: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        """Of the mapping."""
        return {"function_response_types": PARTIAL} if self.reports else {}


def _said(answer: Any, deleted: str) -> Answer:
    return Answer(str(answer), lambda: answering(answer), deleted)


def _named(identifier: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": identifier}]}


ANSWERS = [
    _said(None, "12"),
    _said({}, "12"),
    _said({"batchItemFailures": []}, "12"),
    _said({"batchItemFailures": None}, "12"),
    Answer("the second message", lambda: reporting("2"), "1"),
    _said(_named("unknown"), ""),
    _said(_named(""), ""),
    _said(_named(None), ""),
    _said(_named(7), ""),
    _said({"batchItemFailures": [{"wrong": "x"}]}, ""),
    _said({"batchItemFailures": [{}]}, ""),
    _said({"batchItemFailures": "x"}, ""),
    Answer("what no JSON can say", lambda: answering({"batchItemFailures": {1, 2}}), ""),
    Answer("the receipt handle of the second message", lambda: reporting("2", key="receiptHandle"), ""),
    Answer("an exception", raising, ""),
    Answer("the second message, to a mapping that does not ask", lambda: reporting("2"), "12", reports=False),
]
