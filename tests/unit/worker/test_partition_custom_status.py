"""What a workflow says of itself stands in its head, whatever becomes of the code that said it."""

from __future__ import annotations

import sys
from typing import Any

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import Served, topics_of
from tests.unit.worker.workflows import at_once, telling
from weft import workflow
from weft.codec import decode_payload
from weft.records import NULL
from weft.workflow import Context


@workflow.define
async def leaving(ctx: Context) -> Any:
    """Breaks the engine's rules at its second signal, after it has said something."""
    ctx.set_status("begun")
    await ctx.receive_signal("go")
    ctx.set_status("going")
    await ctx.receive_signal("go")
    ctx.set_status("never committed")
    sys.exit(3)


def said(served: Served) -> Any:
    return decode_payload(served.head().custom_status)


def test_custom_status_is_written_with_the_step_that_says_it(serve: Serve) -> None:
    served = serve(telling)
    assert sorted(topics_of(served.start("telling", 2))) == ["events", "state", "tasks.default"]
    assert said(served) == {"step": 0}
    served.complete(served.task)
    assert said(served) == {"step": 1}
    served.complete(served.task)
    assert said(served) == "done"
    assert served.head().status == "completed"


def test_custom_status_stays_when_a_step_does_not_run_the_code(serve: Serve) -> None:
    served = serve(telling)
    served.start("telling", 1)
    served.fail(served.task)
    assert said(served) == {"step": 0}
    served.advance(1000)
    assert said(served) == {"step": 0}
    served.terminate()
    assert (served.head().status, said(served)) == ("terminated", {"step": 0})


def test_custom_status_is_that_of_the_last_step_that_was_taken_when_the_next_one_breaks(
    serve: Serve,
) -> None:
    served = serve(leaving)
    served.start("leaving")
    assert said(served) == "begun"
    go = {"kind": "signal", "signal": "go"}
    served.turn(served.signals(go), served.signals(go))
    assert (served.head().status, said(served)) == ("blocked", "going")


def test_custom_status_of_a_former_run_is_not_the_next_ones(serve: Serve) -> None:
    served = serve(telling, at_once)
    served.start("telling", 0)
    assert said(served) == "done"
    served.start("at_once", 1, request_id="request-2")
    assert served.head().custom_status == NULL
