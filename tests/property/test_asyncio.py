"""What asyncio has a workflow has too, with the same outcome, in the same order, at the same time, whatever crashes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.asyncio_programs import PROGRAMS, story_of
from weft import workflow
from weft.testing import Environment, Handle, crash_everywhere
from weft.testing._loop import VirtualLoop
from weft.workflow import Context

MESSAGE = "enough"


@workflow.define
async def running(ctx: Context, name: str) -> Any:
    return await story_of(name)


def story_in_asyncio(name: str, cancelled_after: float | None = None) -> Any:
    loop = VirtualLoop()
    try:
        task = loop.create_task(story_of(name))
        task.add_done_callback(lambda _: loop.stop())
        if cancelled_after is not None:
            loop.call_later(cancelled_after, task.cancel, MESSAGE)
        loop.run()
        for left in asyncio.all_tasks(loop):
            left.cancel()
        loop.run(may_jump=False)
        return task.result()
    finally:
        loop.close()


@pytest.mark.requirement("R2-42")
@pytest.mark.parametrize("name", PROGRAMS)
def test_program_has_the_same_story_in_a_workflow_that_crashes_at_any_event(name: str) -> None:
    expected = story_in_asyncio(name)
    assert expected
    assert "ended by" not in str(expected)
    assert crash_everywhere(running, name) == expected


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_has_the_same_story_when_it_is_cancelled_from_outside(name: str) -> None:
    """In the middle of each of its first seconds, with a crash at any event."""
    for seconds in (0.5, 1.5, 2.5, 4.5):
        expected = story_in_asyncio(name, seconds)

        def play(_: Environment, run: Handle[Any], after: float = seconds) -> None:
            run.cancel(MESSAGE, after=after)

        story = crash_everywhere(running, name, play=play, crashes_max=6)
        # asyncio cancels the tasks of a group in the order of their addresses, a workflow always in the same one.
        assert sorted(story or ()) == sorted(expected)
