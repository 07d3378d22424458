"""What an examination found, and the policy that is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Finding", "Findings", "Verdict"]


class Verdict(StrEnum):
    """How a check ended. `UNKNOWN`: it could not be made, or would not have been harmless."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome. `subject`: the mapping, as `function < source`; "" for what concerns all of them."""

    subject: str
    verdict: Verdict
    said: str


@dataclass(slots=True)
class Findings:
    """All outcomes in order, and which actions on which resources were denied."""

    found: list[Finding] = field(default_factory=list)
    denied: dict[str, set[str]] = field(default_factory=dict)

    def add(self, subject: str, verdict: Verdict, said: str) -> None:
        """One more."""
        self.found.append(Finding(subject, verdict, said))

    def deny(self, subject: str, action: str, resource: str) -> None:
        """A permission that is missing."""
        self.denied.setdefault(resource, set()).add(action)
        self.add(subject, Verdict.PROBLEM, f"{action} is denied on {resource}")

    @property
    def sound(self) -> bool:
        """Whether nothing was found that needs somebody."""
        return all(finding.verdict in (Verdict.OK, Verdict.UNKNOWN) for finding in self.found)

    def policy(self) -> dict[str, Any] | None:
        """An IAM policy that allows what was denied; `None` when nothing was.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
        """
        if not self.denied:
            return None
        statements = [
            {"Effect": "Allow", "Action": sorted(actions), "Resource": resource}
            for resource, actions in sorted(self.denied.items())
        ]
        return {"Version": "2012-10-17", "Statement": statements}
