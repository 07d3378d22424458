"""Calls a function in processes of its own: safe from what crashes, hangs and grows, and on every core.

A call takes the process that was idle for the shortest time, a new one while there are fewer than allowed, or waits
for its turn; its timeout begins when a process has it. A process that was killed is replaced at once, so that the next
try finds one that is ready. Idle ones are let go after a while.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections import deque
from collections.abc import Callable

from esm.clock import Clock, Millis
from esm.errors import HandlerExhaustedError
from esm.handlers.context import FunctionFacts
from esm.handlers.cores import cores
from esm.handlers.exits import exited, out_of_memory, timed_out
from esm.handlers.frames import Start, call_of, written
from esm.handlers.invoker import Event, Invocation, Raised
from esm.handlers.launch import launched, place_of, surroundings
from esm.handlers.resident import resident_bytes
from esm.handlers.worker_process import WorkerProcess
from esm.mapping.function import Function

__all__ = ["IDLE_S", "INIT_S", "ProcessInvoker"]

IDLE_S = 300.0
"""Seconds that a process without a call is kept. (chosen: Lambda keeps its own for minutes)"""

INIT_S = 10.0
"""Seconds in which a handler's module is imported, or as many as a call has, if those are more.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
"""

LOOK_S = 0.05
"""Seconds between two looks at the memory of processes that work.

(chosen: one that does nothing else fills some 30 MB in that time)
"""

END_S = 0.5
"""Seconds that idle processes get to leave by themselves, and killed ones to be gone. (chosen)"""

_MB = 1 << 20
_TRIES = 3  # processes that may end before a call has them


class ProcessInvoker:
    """An `Invoker` of one function, in processes of its own.

    `processes`: how many there are at most; `None`: as many as this process may use cores. `folder`: where the
    handler's modules are looked for first; `None`: the function's own. `idle_s`: see `IDLE_S`. `resident`: tells a
    process's bytes of memory, which may be `memory_size` MB. `on_abandoned(request_id, n)`: the system did not end a
    killed process. `pidfd`: whether the system may tell when one ends, where it can; else that is looked for.
    Raises `MappingError` for a callable that another process cannot find by its name, and for an environment that sets
    what is Lambda's.
    """

    def __init__(
        self,
        function: Function,
        *,
        arn: str,
        clock: Clock,
        processes: int | None = None,
        folder: str | None = None,
        idle_s: float = IDLE_S,
        resident: Callable[[int], int] = resident_bytes,
        on_abandoned: Callable[[str, int], None] | None = None,
        pidfd: bool = True,
    ) -> None:
        self._function = function
        self._arn = arn
        self._place = place_of(function)
        self._folder = folder if folder is not None else function.folder
        self._clock = clock
        self._most = max(1, cores() if processes is None else processes)
        self._idle_s = idle_s
        self._resident = resident
        self._on_abandoned = on_abandoned
        self._given_up = 0
        self._pidfd = pidfd
        self._timed_out = timed_out(function.timeout)
        self._processes: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []  # the one that was idle for the longest time first
        self._waiting: deque[asyncio.Future[WorkerProcess | Raised]] = deque()
        self._look_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def function_arn(self) -> str:
        """What failure records and the context name as the function."""
        return self._arn

    @property
    def processes(self) -> int:
        """How many there are now."""
        return len(self._processes)

    async def invoke(self, event: Event, request_id: str) -> Invocation:
        """What became of one call: see `Invoker.invoke`."""
        process = await self._process()
        if isinstance(process, Raised):
            return process
        try:
            kind, body = written(call_of(request_id, round(self._function.timeout * 1000), event))
        except (TypeError, ValueError, RecursionError) as error:
            self.ready(process)
            return Raised("Runtime.UnmarshalError", f"Unable to marshal the event: {type(error).__name__}")
        self._look_at_memory()
        return await process.call(request_id, kind, body, within=self._function.timeout, late=self._timed_out)

    async def close(self, grace: Millis) -> None:
        """Ends all processes: what is called is killed, what is idle may leave by itself for a while.

        Whoever still waits in `invoke` is cancelled: a call cut short has neither succeeded nor failed.
        """
        self._closed = True
        for turn in self._waiting:
            turn.cancel()
        for timer in (self._look_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        for process in list(self._processes):
            process.dismiss()
            process.end()
        try:
            await asyncio.sleep(0)
            for process in list(self._processes):
                if process.state != "ending":
                    process.kill()
            await self._all_gone(max(END_S, grace / 1000))
        finally:
            for process in list(self._processes):
                process.kill()
            await self._all_gone(END_S)
            for process in list(self._processes):
                process.give_up()

    async def _all_gone(self, seconds: float) -> None:
        if self._processes:
            await asyncio.wait([process.ended for process in self._processes], timeout=seconds)

    # -- an owner of processes -------------------------------------------------------------------------------------

    def ready(self, process: WorkerProcess) -> None:
        """Gives it to whoever waits longest, or keeps it warm."""
        if self._closed:
            process.kill()
        elif not self._hand_over(process):
            self._idle.append(process)
            if self._idle_timer is None:
                self._idle_timer = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle)

    def gone(self, process: WorkerProcess, failure: Raised | None) -> None:
        """Forgets it, and starts another when somebody waits for one, or will."""
        self._processes.discard(process)
        if process in self._idle:
            self._idle.remove(process)
        if process.given_up:
            self._given_up += 1
            if self._on_abandoned is not None:
                self._on_abandoned(process.request_id, self._given_up)
        if self._closed:
            return
        if failure is not None:
            self._hand_over(failure)  # one call hears of one failed start, as with Lambda; the next starts anew
        self._start_wanted(1 if process.cost_a_call and not self._idle else 0)

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _process(self) -> WorkerProcess | Raised:
        """A process for a call, or why none could be started. Raises `HandlerExhaustedError`."""
        if self._closed:
            raise HandlerExhaustedError(f"the processes of {self._arn} were given up")
        for _ in range(_TRIES):
            process = self._warm() or await self._turn()
            if self._closed:
                raise asyncio.CancelledError
            if isinstance(process, Raised) or process.is_free:
                return process
        return exited("", -signal.SIGKILL)  # each ended between its start and the call

    def _warm(self) -> WorkerProcess | None:
        while self._idle:
            if (process := self._idle.pop()).is_free:
                return process
        return None

    async def _turn(self) -> WorkerProcess | Raised:
        turn: asyncio.Future[WorkerProcess | Raised] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            self._start_wanted()
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._put_back(turn.result())  # it was handed over in the turn in which its caller was cancelled
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _put_back(self, what: WorkerProcess | Raised) -> None:
        if isinstance(what, WorkerProcess) and what.state == "idle":
            self.ready(what)

    def _hand_over(self, what: WorkerProcess | Raised) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(what)
                return True
        return False

    def _start_wanted(self, ahead: int = 0) -> None:
        """Starts as many as are waited for and not on their way, or `ahead` of that, as far as allowed.

        When the system gives none, whoever waits is told so; unless there are others, which will come to it.
        """
        starting = sum(process.state == "starting" for process in self._processes)
        try:
            while starting < max(ahead, len(self._waiting)) and len(self._processes) < self._most:
                self._start()
                starting += 1
        except OSError as error:
            while self._waiting and not self._processes:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_exception(HandlerExhaustedError(f"no process for a call of {self._arn}: {error}"))

    def _start(self) -> None:
        facts = FunctionFacts.of(self._arn, self._function.memory_size, self._clock.now())
        region = (self._arn.split(":") + [""] * 4)[3]
        variables = surroundings(self._function, self._place.handler, facts, region)
        start = Start(self._place.handler, facts, self._place.main, self._folder)

        def launch(descriptor: int) -> subprocess.Popen[bytes]:
            return launched(descriptor, variables)

        process = WorkerProcess(start, launch, self, pidfd=self._pidfd)
        self._processes.add(process)
        process.end_init_within(max(INIT_S, self._function.timeout), self._timed_out)
        self._look_at_memory()

    def _look_at_memory(self) -> None:
        if self._look_timer is None:
            self._look_timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._look_timer = None
        working = [process for process in self._processes if process.state in ("starting", "busy")]
        for process in working:
            if self._resident(process.pid) > self._function.memory_size * _MB:
                process.out_of_memory(out_of_memory)
        if working:
            self._look_at_memory()

    def _end_idle(self) -> None:
        self._idle_timer = None
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0].idle_since + self._idle_s <= loop.time():
            self._idle.pop(0).end()
        if self._idle:
            self._idle_timer = loop.call_at(self._idle[0].idle_since + self._idle_s, self._end_idle)
