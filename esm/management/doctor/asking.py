"""One question to AWS, and what a refusal of it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from esm.aws.ask import ask
from esm.aws.session import AwsSession
from esm.errors import SourceDeniedError, SourceError, SourceNotFoundError
from esm.management.doctor.findings import Findings, Verdict

__all__ = ["Asking"]

_POLICY_CODES = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"})
"""Codes of a refusal that a policy would mend; others mean the credentials themselves, or the source's key."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks one service on behalf of one mapping. `region`: `None` for the session's."""

    session: AwsSession
    findings: Findings
    subject: str
    service: str
    region: str | None

    async def ask(self, action: str, resource: str, operation: str, wanted: str, **parameters: Any) -> Any:
        """The member `wanted` of the answer; `None` when there is none, and then why is among the findings."""
        try:
            answer: dict[str, Any] = await ask(self.session, self.service, self.region, operation, **parameters)
        except SourceError as error:
            self.refused(error, action, resource)
            return None
        if answer.get(wanted) is None:
            said = f"{action} on {resource} was answered without {wanted}"
            self.findings.add(self.subject, Verdict.PROBLEM, said)
        return answer.get(wanted)

    async def may(self, action: str, resource: str, operation: str, **parameters: Any) -> None:
        """Finds out whether an action is allowed by asking for something that cannot succeed.

        Any answer but a denial shows that it is.
        """
        try:
            await ask(self.session, self.service, self.region, operation, **parameters)
        except SourceDeniedError as error:
            self.refused(error, action, resource)
        except SourceError:
            pass

    def refused(self, error: SourceError, action: str, resource: str) -> None:
        """Puts a refusal into words."""
        if error.code in _POLICY_CODES:
            self.findings.deny(self.subject, action, resource)
        elif isinstance(error, SourceNotFoundError):
            self.findings.add(self.subject, Verdict.PROBLEM, f"{resource} does not exist ({error})")
        else:
            self.findings.add(self.subject, Verdict.PROBLEM, f"{action} on {resource} failed: {error}")
