r"""One process of a function, seen from the worker.

    starting --ready--> idle <--answered-- busy
       |                 |  \----call------^ |
       |                 |                   |
       +--init failed----+--told to end------+--out of time or memory, garbled, nobody waits
       |                 v                   v
       |              ending --too slow--> killed
       +-------------\   |                  /
                      v  v                 v
                  any --it has ended--> ended

A call is in flight from `starting` or `busy` only, and has one outcome: the answer of its own number, or a word about
how the process ended. Whatever is killed is never used again, so no late answer can be taken for another call's. An
outcome that comes from a kill is told when the process is gone, so its batch is not tried again beside it; after 5 s
it is told anyway, and the process given up: then the system itself holds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Literal, Protocol

from esm.handlers.exits import exited
from esm.handlers.frames import HEAD, START, Frames, Garbled, Start, read_answer, written
from esm.handlers.invoker import Invocation, Raised, Returned

__all__ = ["Owner", "State", "WorkerProcess"]

State = Literal["starting", "idle", "busy", "ending", "killed", "ended"]

_PIECE = 256 << 10
_ROOM = 1 << 20  # bytes that a socket takes at once, as far as the system gives them: most events go in one piece
_STOP_S = 5.0  # until a killed process is given up (chosen)
_LEAVE_S = 1.0  # until one that should leave is killed (chosen)
_LOOK_S = 0.05  # between two looks at a process where the system tells nobody that it has ended


class Owner(Protocol):
    """Is told what a process has become."""

    def ready(self, process: WorkerProcess) -> None:
        """It is idle: a call may be given to it, now."""
        ...

    def gone(self, process: WorkerProcess, failure: Raised | None) -> None:
        """It has ended, and everything of it is given up. `failure`: why it was never ready; `None` when it was."""
        ...


class WorkerProcess:
    """A process that was just started. Raises `OSError` when there is none to be had.

    `request_id`: of its last call, "" before. `idle_since`: in the loop's time. `cost_a_call`: it ended, and a call
    with it. `given_up`: it was killed, and is still there. `ended`: done when it is gone.
    """

    def __init__(
        self, start: Start, launch: Callable[[int], subprocess.Popen[bytes]], owner: Owner, *, pidfd: bool = True
    ) -> None:
        self.state: State = "starting"
        self.request_id = ""
        self.idle_since = 0.0
        self.cost_a_call = False
        self.given_up = False
        self.ended = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._was_ready = False
        self._frames = Frames()
        self._unsent = memoryview(b"")
        self._number = START
        self._outcome: asyncio.Future[Invocation] | None = None
        self._verdict: Raised | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._socket, theirs = _sockets()
        try:
            self._process = launch(theirs.fileno())
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        try:
            self._watch = _ExitWatch(self._loop, self.pid, self._has_ended, pidfd=pidfd)
        except OSError:
            self._kill_group()
            self._process.wait()
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._readable)
        self._send(START, *written(start))

    @property
    def is_free(self) -> bool:
        """Whether a call may be given to it: idle, and not ended since without this loop having heard of it."""
        return self.state == "idle" and self._watch.looked()

    # -- what it is told -------------------------------------------------------------------------------------------

    def end_init_within(self, seconds: float, verdict: Raised) -> None:
        """Kills it, for this reason, unless it is ready by then."""
        self._alarm = self._loop.call_later(seconds, self.kill, verdict)

    async def call(self, request_id: str, kind: bytes, body: bytes, *, within: float, late: Raised) -> Invocation:
        """What the call came to; `late` when it took more seconds. Whoever cancels it kills the process.

        The process is free. `kind`, `body`: the message, written.
        """
        self.state = "busy"
        self._number = self._number % 0xFFFF_FFFF + 1
        self.request_id = request_id
        self._outcome = self._loop.create_future()
        self._alarm = self._loop.call_later(within, self.kill, late)
        try:
            self._send(self._number, kind, body)
            return await self._outcome
        except BaseException:
            if self.state == "busy":  # it may have answered in the turn in which its caller was cancelled
                self.kill()
            raise

    def dismiss(self) -> None:
        """Cancels whoever waits for it, who then has no outcome: what is cut short has neither succeeded nor failed."""
        if self._outcome is not None:
            self._outcome.cancel()

    def end(self) -> None:
        """Lets an idle process go: it sees that nobody is there any more, and leaves as any program does."""
        if self.state == "idle":
            self.state = "ending"
            self._hang_up()
            self._alarm = self._loop.call_later(_LEAVE_S, self.kill)

    def kill(self, verdict: Raised | None = None) -> None:
        """Ends it and all that it started, whatever they do. `verdict`: what that says of the call in flight."""
        if self.state in ("killed", "ended"):
            return
        self.state = "killed"
        self._verdict = verdict
        self._stop_alarm()
        self._alarm = self._loop.call_later(_STOP_S, self.give_up)
        self._kill_group()

    def out_of_memory(self, verdict: Callable[[str], Raised]) -> None:
        """Kills it, with a verdict on the request it was busy with."""
        self.kill(verdict(self.request_id))

    def give_up(self) -> None:
        """Lets go of a process that was killed and does not end: the system holds it."""
        if self.state != "ended":
            self.given_up = self._process.poll() is None
            self._process.returncode = -signal.SIGKILL  # nobody waits for it any more
            self._conclude(-signal.SIGKILL)

    # -- what it does ----------------------------------------------------------------------------------------------

    def _send(self, number: int, kind: bytes, body: bytes) -> None:
        head = HEAD.pack(len(body), number, kind)
        try:
            sent = self._socket.sendmsg((head, body))
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it has ended, as will be told
        if sent < len(head) + len(body):
            self._unsent = memoryview(head + body)[sent:]
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up()  # it has ended, or will: without its worker it does not live on
            self._stop_alarm()
            self._alarm = self._loop.call_later(_LEAVE_S, self.kill)
            return
        try:
            for number, kind, body in self._frames.feed(data):
                self._answered(number, read_answer(kind, body).outcome())
        except Garbled:
            self.kill()

    def _answered(self, number: int, outcome: Invocation) -> None:
        if self.state == "starting" and number == START:
            self._initialised(outcome)
        elif self.state == "busy" and number == self._number:
            self._settle(outcome)
            self._become_idle()
        elif self.state != "killed":
            self.kill()  # an answer to nothing: some copy of the process talks

    def _initialised(self, outcome: Invocation) -> None:
        if isinstance(outcome, Returned):
            self._become_idle()
        else:
            self.kill(outcome)

    def _become_idle(self) -> None:
        self._stop_alarm()
        if self._watch.over:
            return  # that was its last word
        self._was_ready = True
        self.state = "idle"
        self.idle_since = self._loop.time()
        self._owner.ready(self)

    def _has_ended(self) -> None:
        self._watch.over = True
        if self.state in ("starting", "busy"):
            self._drain()
        self._kill_group()  # what it started goes with it
        code = self._process.poll()
        self._conclude(-signal.SIGKILL if code is None else code)

    def _drain(self) -> None:
        """Reads what it said last."""
        for _ in range(1 + _ROOM * 8 // _PIECE):
            if self._socket.fileno() >= 0:
                self._readable()

    def _conclude(self, code: int) -> None:
        verdict = self._verdict or exited(self.request_id, code)
        self.state = "ended"
        self._stop_alarm()
        self._watch.close()
        self._hang_up()
        self.cost_a_call = self._outcome is not None and not self._outcome.done()
        self._settle(verdict)
        if not self.ended.done():
            self.ended.set_result(None)
        self._owner.gone(self, None if self._was_ready else verdict)

    def _settle(self, outcome: Invocation) -> None:
        waited_for, self._outcome = self._outcome, None
        if waited_for is not None and not waited_for.done():
            waited_for.set_result(outcome)

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _hang_up(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _kill_group(self) -> None:
        if self._process.returncode is None:  # its number is its own until it is waited for
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


class _ExitWatch:
    """Calls `ended` once the process has ended, before anybody has waited for it. `over`: whether it has."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, pid: int, ended: Callable[[], None], *, pidfd: bool = True
    ) -> None:
        self.over = False
        self._loop, self._pid, self._ended = loop, pid, ended
        self._timer: asyncio.Handle | None = None
        self._descriptor: int | None = None
        if pidfd and hasattr(os, "pidfd_open"):  # Linux
            self._descriptor = os.pidfd_open(pid)
            loop.add_reader(self._descriptor, ended)
        else:
            self._look()

    def _look(self) -> None:
        again = self.looked()
        self._timer = self._loop.call_later(_LOOK_S, self._look) if again else self._loop.call_soon(self._ended)

    def looked(self) -> bool:
        """Whether the process is there, as the system says now."""
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def _sockets() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
    return ours, theirs
