"""The command `esm`, as a user types it: a process of its own, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Ended", "Esm", "Running"]

PATIENCE = 30.0


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line that a failure is."""
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        assert self.err.startswith("esm: ")
        return self.err.strip()


@dataclass
class Esm:
    """Types commands in `folder`, which holds the user's `app.py`; `settings` are variables of the environment."""

    folder: Path
    settings: Mapping[str, str]

    def app(self, text: str) -> None:
        (self.folder / "app.py").write_text(text)

    def __call__(self, *arguments: str, typed: str = "") -> Ended:
        """Runs a command to its end; `typed`: what comes on its stdin."""
        done = subprocess.run(
            [sys.executable, "-m", "esm", *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            input=typed,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def running(self, *arguments: str, python: tuple[str, ...] = ("-m", "esm")) -> Iterator[Running]:
        """A command that goes on until it is told to end; `python`: another program than the command."""
        process = subprocess.Popen(
            [sys.executable, *python, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = Running(process)
        try:
            yield running
        finally:
            process.kill()
            running.close()

    def environment(self) -> dict[str, str]:
        """Nothing of the caller's own AWS set-up; coverage goes with the process."""
        kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COVERAGE")}
        root = str(Path(__file__).parents[2])
        own = {"HOME": str(self.folder), "AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": root}
        return kept | own | dict(self.settings)


class Running:
    """A command that runs; its log lines are JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.out = ""
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, event: str, *, after: int = 0, **values: object) -> dict[str, Any]:
        """The first log line of this event with these values, behind the first `after` lines; waits for it."""
        with self._more:
            self._more.wait_for(lambda: self._find(event, values, after) or self.process.poll() is not None, PATIENCE)
            found = self._find(event, values, after)
        assert found is not None, "".join(self.lines)
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Sends a signal; gives the exit code and the seconds until the end."""
        began = time.perf_counter()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE), time.perf_counter() - began

    def close(self) -> None:
        self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.out = self.process.stdout.read()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def said(self) -> str:
        """All of stderr, after the end."""
        self._reader.join()
        return "".join(self.lines)

    @property
    def summary(self) -> dict[str, Any]:
        """The last line of stdout."""
        summary: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return summary

    def _find(self, event: str, values: Mapping[str, object], after: int) -> dict[str, Any] | None:
        for line in self.lines[after:]:
            if line.startswith("{"):
                fact: dict[str, Any] = json.loads(line)
                if fact["event"] == event and all(fact.get(name) == value for name, value in values.items()):
                    return fact
        return None

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()
        with self._more:
            self._more.notify_all()
