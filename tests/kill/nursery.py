"""A process that begets lives: each is forked from it with everything imported, so it costs milliseconds.

`python -m tests.kill.nursery` reads a plan a line, and for each prints the life's process id, and when it is over its
exit code, negative for a signal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from esm.aws.session import AwsSession
from tests.kill.life import live
from tests.kill.plan import Plan
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

__all__ = ["Nursery"]

ROOT = Path(__file__).parents[2]


class Nursery:
    """Starts lives, one at a time. `log`: what they say. Usable in any thread, by one at a time."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.pid = 0

    def __enter__(self) -> Self:
        """Starts the process."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.kill.nursery"],
                cwd=ROOT,
                env=inherited | {"AWS_EC2_METADATA_DISABLED": "true"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process, and the life it still has; another thread may still wait for that one."""
        if self.pid:
            with suppress(ProcessLookupError):  # it is over, and nobody has asked yet
                os.kill(self.pid, signal.SIGKILL)
        self._stdin.close()
        self._process.wait(30)
        self._stdout.close()

    def start(self, plan: Plan) -> None:
        """A life begins."""
        self._stdin.write(msgspec.json.encode(plan) + b"\n")
        self._stdin.flush()
        self.pid = self._number()

    def over(self) -> int:
        """The exit code of the life, once it is over."""
        code = self._number()
        self.pid = 0
        return code

    def kill(self) -> int:
        """SIGKILL, and the exit code."""
        os.kill(self.pid, signal.SIGKILL)
        return self.over()

    def live(self, plan: Plan) -> int:
        """A whole life's exit code."""
        self.start(plan)
        return self.over()

    def _number(self) -> int:
        line = self._stdout.readline()
        if not line:
            raise RuntimeError(f"the nursery has ended:\n{self.log.read_text(errors='replace')[-4000:]}")
        return int(line)


async def _warm_up() -> None:
    """Reads the SDK's models, so that no life has to."""
    async with AwsSession(signed_in(), endpoint_url="http://127.0.0.1:9") as session:
        for service in ("kinesis", "sqs"):
            await session.client(service, REGION)


def _bear(plan: Plan) -> int:
    """The process id of a new life."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        asyncio.run(live(plan))
        code = 0
    except BaseException:  # noqa: BLE001  # whatever it is, it ends this life, and the log has it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Until nobody asks any more."""
    asyncio.run(_warm_up())
    for line in sys.stdin.buffer:
        pid = _bear(msgspec.json.decode(line, type=Plan))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
