"""The context object: what a function is told about its own call.

Names and types are those of Lambda's Python runtime: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from esm.clock import Millis

__all__ = ["CognitoIdentity", "FunctionFacts", "LambdaContext"]

_LATEST = "$LATEST"


class LambdaContext:
    """What a handler gets as its second argument. Made anew for every call.

    `memory_limit_in_mb` is text. `identity` is always there, its fields are `None`; `client_context` and `tenant_id`
    are `None`: an event source mapping has no caller with an identity.
    """

    __slots__ = (
        "_deadline",
        "_now",
        "aws_request_id",
        "client_context",
        "function_name",
        "function_version",
        "identity",
        "invoked_function_arn",
        "log_group_name",
        "log_stream_name",
        "memory_limit_in_mb",
        "tenant_id",
    )

    def __init__(self, facts: FunctionFacts, request_id: str, deadline: Millis, now: Callable[[], Millis]) -> None:
        self.aws_request_id = request_id
        self.function_name = facts.function_name
        self.function_version = facts.function_version
        self.invoked_function_arn = facts.invoked_function_arn
        self.memory_limit_in_mb = facts.memory_limit_in_mb
        self.log_group_name = facts.log_group_name
        self.log_stream_name = facts.log_stream_name
        self.identity = CognitoIdentity()
        self.client_context: None = None
        self.tenant_id: None = None
        self._deadline = deadline
        self._now = now

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the call is timed out; never below 0."""
        return max(0, self._deadline - self._now())

    def log(self, msg: object) -> None:
        """Writes `msg` to standard output, a line of its own."""
        sys.stdout.write(f"{msg}\n")

    def __repr__(self) -> str:
        """All public fields."""
        names = [name for name in self.__slots__ if not name.startswith("_")]
        return f"LambdaContext([{','.join(f'{name}={getattr(self, name)}' for name in names)}])"


class CognitoIdentity:
    """Who called through Cognito: nobody, so both fields are `None`."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self) -> None:
        self.cognito_identity_id: None = None
        self.cognito_identity_pool_id: None = None

    def __repr__(self) -> str:
        """Both fields."""
        return "CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None])"


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """What stays the same from call to call of one function."""

    function_name: str
    function_version: str
    invoked_function_arn: str
    memory_limit_in_mb: str
    log_group_name: str
    log_stream_name: str

    @classmethod
    def of(cls, arn: str, memory_size: int, started_at: Millis) -> FunctionFacts:
        """The facts of the function `arn`, as Lambda would name them in an environment begun at `started_at`.

        A qualifier that is no number (an alias) does not tell the version: it is `$LATEST` then. (chosen)
        """
        parts = arn.split(":")
        name = parts[6] if len(parts) > 6 else arn  # noqa: PLR2004  # arn:aws:lambda:region:account:function:NAME
        qualifier = parts[7] if len(parts) > 7 else ""  # noqa: PLR2004  # ... :QUALIFIER
        version = qualifier if qualifier.isdecimal() else _LATEST
        day = datetime.fromtimestamp(started_at // 1000, UTC)
        stream = uuid5(NAMESPACE_URL, f"{arn} {started_at}").hex
        return cls(
            function_name=name,
            function_version=version,
            invoked_function_arn=arn,
            memory_limit_in_mb=str(memory_size),
            log_group_name=f"/aws/lambda/{name}",
            log_stream_name=f"{day:%Y/%m/%d}/[{version}]{stream}",
        )
