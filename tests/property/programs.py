"""Random workflows: a program is a JSON value, and one workflow interprets any of them.

`random_program` draws programs of everything that a workflow may do, nested in one another; `random_inputs` draws what
may happen to it from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import strategies as st

from tests.property.corpus.shapes import pick
from tests.support.runs import DrivenRun
from weft import workflow
from weft.errors import Failure
from weft.records import AttemptCompleted, AttemptFailed, FailureInfo
from weft.workflow import Context

Program = list[Any]
Step = tuple[Any, ...]

NAMES = ("a", "b")
SECONDS = (0, 1, 1, 2, 60)


class Interpreter:
    """Runs a program; `told` is the order in which everything happened, as the code saw it."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.told: list[Any] = []
        self.lock = asyncio.Lock()

    async def run(self, program: Program) -> Any:
        kind, *parts = program
        try:
            value = await _MEANINGS[kind](self, *parts)
        except BaseException as error:
            self.told.append(f"{kind}: {type(error).__name__}")
            raise
        self.told.append(f"{kind}: {value}")
        return value

    async def all_of(self, programs: list[Program]) -> Any:
        return await asyncio.gather(*(self.run(program) for program in programs))

    async def forgiving(self, programs: list[Program]) -> int:
        results = await asyncio.gather(
            *(self.run(program) for program in programs), return_exceptions=True
        )
        return sum(isinstance(result, BaseException) for result in results)

    async def first_of(self, programs: list[Program]) -> Any:
        tasks = [asyncio.create_task(self.run(program)) for program in programs]
        try:
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for task in set(tasks):
                task.cancel()
            raise
        for task in pending:
            task.cancel()
        return sorted(tasks.index(task) for task in done)

    async def as_completed(self, programs: list[Program]) -> int:
        failed = 0
        for earliest in asyncio.as_completed([self.run(program) for program in programs]):
            try:
                await earliest
            except Failure:
                failed += 1
        return failed

    async def group(self, programs: list[Program]) -> int:
        async with asyncio.TaskGroup() as tasks:
            for program in programs:
                tasks.create_task(self.run(program))
        return len(programs)

    async def in_sequence(self, programs: list[Program]) -> None:
        for program in programs:
            await self.run(program)

    async def in_time(self, seconds: float, program: Program) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await self.run(program)
        except TimeoutError:
            return "too late"

    async def wait_for(self, seconds: float, program: Program) -> Any:
        return await asyncio.wait_for(self.run(program), seconds)

    async def cleaned_up(self, program: Program, cleanup: Program) -> None:
        try:
            await self.run(program)
        finally:
            await self.run(cleanup)

    async def caught(self, program: Program) -> str:
        try:
            await self.run(program)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            return type(error).__name__
        return "nothing"

    async def shielded(self, program: Program) -> Any:
        return await asyncio.shield(self.run(program))

    async def kept(self, program: Program) -> Any:
        async with self.ctx.cancel_scope(shield=True):
            return await self.run(program)

    async def scoped(self, seconds: float, program: Program) -> Any:
        """Cut short by somebody else, who is never in the way of the end."""
        async with self.ctx.cancel_scope() as scope:
            asyncio.get_running_loop().call_later(seconds, scope.cancel)
            await self.run(program)
        return scope.cancelled

    async def spawned(self, background: Program, program: Program) -> Any:
        task = asyncio.create_task(self.run(background))
        result = await self.run(program)
        task.cancel()
        await asyncio.wait([task])
        return result

    async def locked(self, program: Program) -> Any:
        async with self.lock:
            return await self.run(program)

    async def activity(self, line: int) -> Any:
        return await self.ctx.execute_activity(pick, line)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def signal(self, name: str, limit_s: float | None) -> Any:
        return await self.ctx.receive_signal(name, timeout=limit_s)

    async def chance(self) -> str:
        return f"{self.ctx.random().random()} {self.ctx.uuid4()} {self.ctx.now()}"

    async def patched(self, patch_id: str, program: Program, old: Program) -> Any:
        return await self.run(program if self.ctx.patched(patch_id) else old)

    async def look_back(self, line: int) -> Any:
        """What it sees also decides what it does."""
        history = self.ctx.history
        seen = [type(event).__name__ for event in history[-3:]]
        called = history.called(pick)
        if len(history) % 2:
            await self.ctx.execute_activity(pick, [line, seen, history.results(pick)])
        return len(history), seen, called

    async def tell(self, number: int) -> None:
        self.ctx.set_status({"told": len(self.told), "number": number})

    async def fail(self) -> None:
        raise Failure("on purpose")


_MEANINGS: dict[str, Callable[..., Awaitable[Any]]] = {
    "all": Interpreter.all_of,
    "forgiving": Interpreter.forgiving,
    "first": Interpreter.first_of,
    "as_completed": Interpreter.as_completed,
    "group": Interpreter.group,
    "sequence": Interpreter.in_sequence,
    "in_time": Interpreter.in_time,
    "wait_for": Interpreter.wait_for,
    "cleaned_up": Interpreter.cleaned_up,
    "caught": Interpreter.caught,
    "shielded": Interpreter.shielded,
    "kept": Interpreter.kept,
    "scoped": Interpreter.scoped,
    "spawned": Interpreter.spawned,
    "locked": Interpreter.locked,
    "activity": Interpreter.activity,
    "sleep": Interpreter.sleep,
    "signal": Interpreter.signal,
    "chance": Interpreter.chance,
    "patched": Interpreter.patched,
    "look_back": Interpreter.look_back,
    "tell": Interpreter.tell,
    "fail": Interpreter.fail,
}


@workflow.define
async def interpret(ctx: Context, program: list[Any]) -> Any:
    interpreter = Interpreter(ctx)
    await interpreter.run(program)
    return interpreter.told


_activity = st.tuples(st.just("activity"), st.integers(0, 9)).map(list)
_several = ("all", "forgiving", "first", "as_completed", "group", "sequence")
_leaves: st.SearchStrategy[Program] = st.one_of(
    _activity,
    _activity,
    _activity,
    st.tuples(st.just("sleep"), st.sampled_from(SECONDS)).map(list),
    st.tuples(st.just("signal"), st.sampled_from(NAMES), st.sampled_from((None, 1, 2))).map(list),
    st.sampled_from((["chance"], ["fail"], ["tell", 1], ["look_back", 2])),
)


def _nested(inner: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    some = st.lists(inner, min_size=2, max_size=4)
    return st.one_of(
        st.tuples(st.sampled_from(_several), some),
        st.tuples(st.sampled_from(_several), some),
        st.tuples(
            st.sampled_from(("in_time", "wait_for", "scoped")), st.sampled_from(SECONDS), inner
        ),
        st.tuples(st.sampled_from(("cleaned_up", "spawned")), inner, inner),
        st.tuples(st.just("patched"), st.sampled_from(NAMES), inner, inner),
        st.tuples(st.sampled_from(("caught", "shielded", "kept", "locked")), inner),
    ).map(list)


_part = _nested(_nested(_leaves) | _leaves) | _leaves
random_program: st.SearchStrategy[Program] = st.tuples(
    st.sampled_from((*_several, "sequence", "forgiving")), st.lists(_part, min_size=2, max_size=4)
).map(list)

_numbers = st.integers(0, 20)
random_inputs: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("complete"), _numbers),
        st.tuples(st.just("complete"), _numbers),
        st.tuples(st.just("complete"), _numbers),
        st.tuples(st.just("fail"), _numbers, st.booleans()),
        st.tuples(st.just("report_start"), _numbers),
        st.tuples(st.just("stale"), _numbers, st.integers(-1, 1)),
        st.tuples(st.just("next")),
        st.tuples(st.just("advance"), st.integers(0, 3000)),
        st.tuples(
            st.just("signal"), st.sampled_from(NAMES), st.sampled_from(("", "", "s-1", "s-2"))
        ),
        st.tuples(st.just("cancel")),
        st.tuples(st.just("terminate")),
    ),
    min_size=3,
    max_size=20,
)


def play(run: DrivenRun, steps: list[Step]) -> None:
    """Let each step happen that can; what is meant for something open finds it by its number."""
    for kind, *rest in steps:
        if run.run.ended:
            return
        _happen(run, kind, rest)


def play_to_the_end(run: DrivenRun) -> None:
    """Whatever is open completes, until nothing is; who then waits for signals is cancelled, at last terminated."""
    for patience in range(200):
        if run.run.ended:
            return
        ready = [each for each in run.run.activities.values() if not each.waiting]
        if ready:
            run.complete(ready[-1].activity_id, patience)
        elif not run.advance_to_next():
            if run.run.cancel_requested:
                run.terminate()
            else:
                run.cancel()
    run.terminate()


def _happen(run: DrivenRun, kind: str, rest: list[Any]) -> None:
    ready = [each.activity_id for each in run.run.activities.values() if not each.waiting]
    match kind, rest:
        case "complete", [number] if ready:
            run.complete(ready[number % len(ready)], number)
        case "fail", [number, non_retryable] if ready:
            run.fail(ready[number % len(ready)], non_retryable=non_retryable)
        case "report_start", [number] if ready:
            run.report_start(ready[number % len(ready)])
        case "stale", [number, attempt]:
            late = AttemptFailed("another run", number, 1, FailureInfo("Late"))
            assert not run.give(late).events
            assert not run.give(AttemptCompleted(run.run.run_id, 1000 + number, 1 + attempt)).events
        case "next", []:
            run.advance_to_next()
        case "advance", [milliseconds]:
            run.advance(milliseconds)
        case "signal", [name, signal_id]:
            run.signal(name, len(run.events), id=signal_id)
        case "cancel", []:
            run.cancel("on purpose")
        case "terminate", []:
            run.terminate("on purpose")
