"""Amazon Resource Names: parsed, told apart by the kind of source, and written back.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Arn", "SourceKind", "source_name"]

SourceKind = Literal["kinesis", "dynamodb", "sqs", "file"]
"""What an event source ARN names: a Kinesis stream or consumer, a DynamoDB stream, an SQS queue. `file`: it is no ARN,
but the URL of a recording, which says itself what was recorded.
"""

_PARTS = 6


@dataclass(frozen=True, slots=True)
class Arn:
    """`arn:partition:service:region:account:resource`, part by part."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """The parts of `text`. Raises `ValueError` when it is not an ARN."""
        parts = text.split(":", _PARTS - 1)
        if len(parts) != _PARTS or parts[0] != "arn" or not parts[2] or not parts[5]:
            msg = f"{text!r} is not an ARN (arn:partition:service:region:account:resource)"
            raise ValueError(msg)
        return cls(*parts[1:])

    def __str__(self) -> str:
        """The ARN as text."""
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"

    @property
    def source_kind(self) -> Literal["kinesis", "dynamodb", "sqs"] | None:
        """The kind of event source that it names; `None` when it is none of the three."""
        if self.service == "kinesis" and self.resource.startswith("stream/"):
            return "kinesis"
        if self.service == "dynamodb" and self.resource.startswith("table/") and "/stream/" in self.resource:
            return "dynamodb"
        if self.service == "sqs":
            return "sqs"
        return None

    @property
    def name(self) -> str:
        """The resource's own name: `stream/orders` and `stream/orders/consumer/c:1` give `orders`, a queue its name."""
        parts = self.resource.split("/")
        return parts[1] if len(parts) > 1 else self.resource


def source_name(event_source_arn: str) -> str:
    """What a source is called for short: a stream's, table's or queue's own name, or a recording's file."""
    try:
        return Arn.parse(event_source_arn).name
    except ValueError:
        return event_source_arn.rpartition("/")[2]
