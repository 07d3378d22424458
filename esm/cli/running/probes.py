"""`esm run --http`: probes beside the worker, and where their token comes from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from esm.cli.exits import Exit, Failure
from esm.management.address import Address, Door
from esm.runtime.worker import Worker
from esm.telemetry.observer import Observer

__all__ = ["TOKEN_VARIABLE", "Probing"]

TOKEN_VARIABLE = "ESM_HTTP_TOKEN"  # noqa: S105  # where a token stands, and none itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Probing:
    """What was typed of probes. `address`: `None` for none of them. `metrics`: `None` when they are not installed."""

    address: str | None
    token: str | None = field(default=None, repr=False)
    hosts: Sequence[str] = ()
    metrics: Any = None

    @classmethod
    def typed(cls, address: str | None, token_file: Path | None, hosts: Sequence[str]) -> Probing:
        """Checked before anything is begun. Raises `ProbeError`, and `Failure` for a token that cannot be read.

        The environment's token is taken out of it: no function, and no process of one, has a use for it.
        """
        of_environment = os.environ.pop(TOKEN_VARIABLE, None)
        if address is None:
            if token_file is not None or hosts:
                raise Failure(Exit.INVALID, "--http-token-file and --http-host go with --http")
            return cls(address=None)
        token = of_environment if token_file is None else _token(token_file)
        Door(Address.parse(address), token=token, hosts=hosts)
        return cls(address=address, token=token, hosts=hosts, metrics=_metrics())

    @property
    def observers(self) -> list[Observer]:
        """What the worker tells for their sake."""
        return [] if self.metrics is None else [self.metrics]

    def beside(self, worker: Worker) -> AbstractAsyncContextManager[Any]:
        """Answers for the time of its `async with`. Raises `ProbeError`."""
        if self.address is None:
            return nullcontext()
        from esm.management.http import serve  # noqa: PLC0415  # the server is loaded by who wants it

        return serve(worker, self.address, token=self.token, hosts=self.hosts, metrics=self.metrics)


def _token(file: Path) -> str:
    """Of a file: the command line is no place for it, as every process may read that."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is no ASCII text"
        raise Failure(Exit.INVALID, f"--http-token-file={str(file)!r}: {what}") from None


def _metrics() -> Any:
    """Numbers for `/metrics`, when the extra `prometheus` is installed."""
    with suppress(ImportError):
        from esm.telemetry.prometheus import PrometheusMetrics  # noqa: PLC0415  # it may be missing

        return PrometheusMetrics()
    return None
