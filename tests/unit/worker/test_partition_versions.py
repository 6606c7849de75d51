"""Which version a run is of, and what becomes of runs whose version is not here."""

from __future__ import annotations

from typing import Any

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import Served, accepted_reply
from weft import workflow
from weft.codec import decode_payload, encode_payload
from weft.records import StartWorkflow, WorkflowCompleted
from weft.workflow import Context, Workflow, Workflows


def versioned(version: str) -> Workflow[Any, Any]:
    @workflow.define(name="bill", version=version)
    async def bill(ctx: Context, number: int) -> list[Any]:
        await ctx.receive_signal("go")
        return [ctx.info.version, number]

    return bill


ONE, TWO = versioned("1"), versioned("2")


def deployed(served: Served, *workflows: Workflow[Any, Any]) -> None:
    """Other workers come, with these versions."""
    served.workflows = Workflows(workflows)  # type: ignore[assignment]  # a mapping as well
    served.take_over()


def start(served: Served, version: str = "") -> None:
    request = StartWorkflow(
        "bill", "r-1", encode_payload(5), reply_to=accepted_reply(), version=version
    )
    served.turn(served.signals(request))


def result_of(served: Served) -> Any:
    event = served.history()[-1]
    assert isinstance(event, WorkflowCompleted), served.head()
    return decode_payload(event.result)


def test_new_run_gets_the_newest_version_or_the_one_that_it_asks_for(serve: Serve) -> None:
    for wanted, expected in (("", "2"), ("1", "1"), ("2", "2")):
        served = serve()
        deployed(served, TWO, ONE)
        start(served, wanted)
        assert (served.head().version, served.head().status) == (expected, "running")
        served.signal("go")
        assert result_of(served) == [expected, 5]


def test_run_is_blocked_until_the_version_comes_that_it_must_have(serve: Serve) -> None:
    served = serve()
    deployed(served, ONE)
    start(served, "2")
    assert served.replies[-1].outcome == "accepted"
    assert (served.head().version, served.head().status) == ("2", "blocked")
    assert "no version 2 of workflow 'bill' (deployed here: 1)" in served.head().reason
    assert served.partition.unmatched == {"order-42": ("bill", "2")}
    served.signal("go")
    deployed(served, ONE, TWO)
    assert result_of(served) == ["2", 5]
    assert served.partition.unmatched == {}


def test_run_that_nobody_knew_gets_the_newest_version_when_one_comes(serve: Serve) -> None:
    served = serve()
    start(served)
    assert (served.head().version, served.head().status) == ("", "blocked")
    deployed(served, ONE, TWO)
    assert (served.head().version, served.head().status) == ("2", "running")
    deployed(served, ONE, TWO, versioned("3"))
    served.signal("go")
    assert result_of(served) == ["2", 5]


def test_run_that_lost_its_version_is_counted_until_it_is_gone(serve: Serve) -> None:
    served = serve()
    deployed(served, ONE)
    start(served)
    deployed(served, TWO)
    assert served.partition.unmatched == {"order-42": ("bill", "1")}
    assert served.head().status == "running", "nobody has needed its code so far"
    served.signal("go")
    assert served.partition.unmatched == {"order-42": ("bill", "1")}
    served.rebuild()
    served.take_over()
    assert served.partition.unmatched == {"order-42": ("bill", "1")}
    served.terminate()
    assert served.partition.unmatched == {}
