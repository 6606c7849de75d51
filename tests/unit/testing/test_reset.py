"""Resets in virtual time, and with crashes at every commit of a run that is reset."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from weft import activity, workflow
from weft.errors import RefusedError
from weft.records import WorkflowReset
from weft.testing import Environment, Handle, crash_everywhere
from weft.workflow import Context

pytestmark = pytest.mark.requirement("R3-9")


@activity.define
async def prepare(what: str) -> str:
    return f"{what} ready"


@workflow.define
async def delivery(ctx: Context, what: str) -> list[Any]:
    slow = ctx.execute_activity(prepare, "van")
    ready = await ctx.execute_activity(prepare, what)
    await ctx.sleep(timedelta(days=1))
    async with ctx.saga():
        address = await ctx.receive_signal("address", str)
        if address == "nowhere":
            raise ValueError(address)
    return [ready, await slow, address, await ctx.receive_signal("address", str)]


def mistakes(env: Environment, run: Handle[Any]) -> None:
    """Two resets: of an ended run, to before the signal that ended it, and of a run that sleeps."""
    run.signal("address", "home", id="a", after=timedelta(hours=30))
    run.signal("address", "work", id="b", after=timedelta(hours=31))
    env.advance(timedelta(hours=2))
    run.reset(3, "the parcel was lost")
    env.advance(timedelta(days=1))
    run.reset(1, "from the start")


def test_run_that_is_reset_ends_the_same_when_it_crashes_at_every_event() -> None:
    expected = ["parcel ready", "van ready", "home", "work"]
    assert crash_everywhere(delivery, "parcel", play=mistakes) == expected


def test_failed_run_goes_on_from_before_its_mistake_and_its_past_is_not_repeated() -> None:
    with Environment() as env:
        run = env.start(delivery, "parcel")
        run.signal("address", "nowhere", after=timedelta(days=2))
        assert run.wait() == "failed"
        failed_run_id, events = run.run_id, run.history
        (told,) = [event for event in events if type(event).__name__ == "SignalReceived"]
        run.reset(told.event_id - 1, "wrong address")
        assert run.run_id == f"{failed_run_id}.2"
        (said,) = [event for event in run.history if isinstance(event, WorkflowReset)]
        assert (said.from_run_id, said.reason) == (failed_run_id, "wrong address")
        assert run.wait() == "failed", "a signal that came is kept"
        assert len(env.calls(prepare)) == 2
        with pytest.raises(RefusedError, match="there is no event 99 to go back to"):
            run.reset(99)
