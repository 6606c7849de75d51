"""What commands print."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from weft.cli._example import example_input
from weft.cli._history import history_rows
from weft.cli._output import Output
from weft.codec import encode_payload, encode_reference
from weft.errors import AlreadyStartedError, UsageError, WorkflowFailedError
from weft.records import (
    ActivityCancelled,
    ActivityCompleted,
    ActivityDispatched,
    ActivityFailed,
    ActivityLost,
    ActivityRetryScheduled,
    ActivityScheduled,
    ActivityStarted,
    CancelRequested,
    ChildCancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildRestarted,
    ChildRetryScheduled,
    ChildScheduled,
    ChildStarted,
    Event,
    FailureInfo,
    Payload,
    RecordDeferred,
    RecordPublished,
    SignalDelivered,
    SignalReceived,
    SignalSent,
    StoredPayload,
    TimerCancelled,
    TimerFired,
    TimerStarted,
    UpdateAccepted,
    UpdateCompleted,
    UpdateFailed,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowPatched,
    WorkflowReset,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
    WorkflowTerminated,
    WorkflowTimedOut,
    WorkflowUnblocked,
)
from weft.workflow import Context, Workflow, define

TIME_MS = 1_700_000_000_123
FAILURE = FailureInfo("CardDeclined", "no credit")


def test_document_is_json_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    time = datetime(2026, 11, 21, tzinfo=UTC)
    output.document({"name": "Zoë", "payload": Payload(b'{"a":1}'), "time": time})
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "Zoë" in printed
    assert json.loads(printed) == {
        "name": "Zoë",
        "payload": {"a": 1},
        "time": "2026-11-21T00:00:00Z",
    }


def test_answer_is_text_for_people_and_the_document_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output(as_json=False).answer("[bold]done[/]", {"done": 1})
    assert capsys.readouterr().out == "[bold]done[/]\n"
    Output(as_json=True).answer("[bold]done[/]", {"done": 1})
    assert capsys.readouterr().out == '{"done": 1}\n'


def test_long_text_is_not_broken_into_lines(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a long line " * 40
    Output(as_json=False).text(text)
    assert capsys.readouterr().out == text + "\n"


def test_error_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).error(UsageError("no [such] thing"))
    assert capsys.readouterr() == ("", "Error: no [such] thing\n")
    Output(as_json=True).error(UsageError("no [such] thing"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert json.loads(printed.err) == {"error": "UsageError", "message": "no [such] thing"}


def test_error_tells_programs_which_run_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.error(
        WorkflowFailedError(
            "it failed", workflow_id="a", run_id="r", status="failed", type="Odd", details={"x": 1}
        )
    )
    output.error(AlreadyStartedError("it runs", run_id="r"))
    failed, started = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert failed == {
        "error": "WorkflowFailedError",
        "message": "it failed",
        "workflow_id": "a",
        "run_id": "r",
        "status": "failed",
        "type": "Odd",
        "details": {"x": 1},
    }
    assert started == {"error": "AlreadyStartedError", "message": "it runs", "run_id": "r"}


def test_table_shows_what_looks_like_markup(capsys: pytest.CaptureFixture[str]) -> None:
    time = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
    Output(as_json=False).table(("ID", "STATUS"), [("[red]a[/red]", "completed"), (None, time)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["ID", "STATUS"], ["[red]a[/red]", "completed"], ["2026-11-21", "10:30:00"]]


EVENTS: list[tuple[Event, str]] = [
    (
        WorkflowStarted(1, TIME_MS, "r", "fulfil", input=encode_payload({"id": 1})),
        'fulfil({"id":1})',
    ),
    (ActivityScheduled(2, TIME_MS, 1, "charge", Payload(b'["a",2]')), 'charge("a",2), number 1'),
    (ActivityStarted(3, TIME_MS, 1, 1, TIME_MS), "charge, attempt 1"),
    (
        ActivityRetryScheduled(4, TIME_MS, 1, "charge", 1, TIME_MS + 150, FAILURE),
        "charge: CardDeclined: no credit; again in 150 ms",
    ),
    (ActivityDispatched(5, TIME_MS, 1, 2), "charge, attempt 2"),
    (ActivityCompleted(6, TIME_MS, 1, "charge", 2, Payload(b'"ok"')), 'charge -> "ok" (attempt 2)'),
    (ActivityFailed(7, TIME_MS, 1, "charge", 1, FAILURE), "charge: CardDeclined: no credit"),
    (ActivityCancelled(8, TIME_MS, 1), "charge"),
    (ActivityLost(9, TIME_MS, 1, 2, "its worker is gone"), "charge, attempt 2: its worker is gone"),
    (TimerStarted(9, TIME_MS, 2, TIME_MS + 5000), "number 2, due in 5000 ms"),
    (TimerFired(10, TIME_MS, 2), "number 2"),
    (TimerCancelled(11, TIME_MS, 2), "number 2"),
    (
        ChildScheduled(11, TIME_MS, 3, "invoice", "i-1", Payload(b"7"), "billing"),
        "invoice(7) as i-1 in billing, number 3",
    ),
    (ChildStarted(11, TIME_MS, 3, 2, "r-7"), "invoice, run r-7 (attempt 2)"),
    (
        ChildRetryScheduled(11, TIME_MS, 3, "invoice", 1, TIME_MS + 150, "timed_out", FAILURE),
        "invoice: timed_out, CardDeclined: no credit; again in 150 ms",
    ),
    (ChildRestarted(11, TIME_MS, 3, 2), "invoice, attempt 2"),
    (ChildCancelRequested(11, TIME_MS, 3, "not wanted"), "invoice: not wanted"),
    (
        ChildCompleted(11, TIME_MS, 3, "invoice", "r-7", 2, Payload(b"8")),
        "invoice -> 8 (attempt 2)",
    ),
    (
        ChildFailed(11, TIME_MS, 3, "invoice", "r-7", 1, "failed", FAILURE),
        "invoice: failed, CardDeclined: no credit",
    ),
    (SignalSent(11, TIME_MS, 4, "a-1", "go", Payload(b"1"), "billing"), "go(1) to a-1 in billing"),
    (SignalDelivered(11, TIME_MS, 4), "number 4"),
    (SignalDelivered(11, TIME_MS, 4, "it has ended"), "number 4: it has ended"),
    (WorkflowPatched(11, TIME_MS, "tax-2026"), "tax-2026"),
    (RecordPublished(11, TIME_MS, 3, "news", 2, "0a"), "to news, partition 2"),
    (RecordPublished(11, TIME_MS, 3, "news", failure=FAILURE), "news: CardDeclined: no credit"),
    (SignalReceived(12, TIME_MS, "approval", Payload(b"true")), "approval(true)"),
    (UpdateAccepted(12, TIME_MS, "add", "u-1", Payload(b"5")), "add(5), ID u-1"),
    (UpdateCompleted(12, TIME_MS, "add", "u-1", Payload(b"6")), "add -> 6, ID u-1"),
    (UpdateFailed(12, TIME_MS, "add", "u-1", FAILURE), "add: CardDeclined: no credit, ID u-1"),
    (CancelRequested(13, TIME_MS, "why"), "why"),
    (WorkflowBlocked(14, TIME_MS, "code changed"), "code changed"),
    (RecordDeferred(15, TIME_MS, "signals", Payload(b"{}")), "signals: {}"),
    (WorkflowUnblocked(16, TIME_MS), ""),
    (WorkflowSuspended(16, TIME_MS, "to look at it"), "to look at it"),
    (WorkflowResumed(17, TIME_MS), ""),
    (
        WorkflowReset(18, TIME_MS, "r.2", "r", 7, "q", "it threw"),
        "as run r.2, from event 7 of run r: it threw",
    ),
    (WorkflowCompleted(17, TIME_MS, Payload(b"[1]")), "-> [1]"),
    (WorkflowFailed(18, TIME_MS, FailureInfo("Odd")), "Odd"),
    (WorkflowCancelled(19, TIME_MS, "why"), "why"),
    (WorkflowTerminated(20, TIME_MS, "why"), "why"),
    (WorkflowTimedOut(21, TIME_MS, 5000), "after 5000 ms"),
    (WorkflowContinued(22, TIME_MS, "r.2", Payload(b"2")), "(2) as run r.2"),
    (
        WorkflowStarted(1, TIME_MS, "r.2", "fulfil", input=Payload(b"2"), continued_from="r"),
        "fulfil(2), continues run r",
    ),
]


def test_history_has_a_line_for_every_type_of_event() -> None:
    rows = list(history_rows([event for event, _ in EVENTS]))
    assert [row[3] for row in rows] == [text for _, text in EVENTS]
    assert rows[0][:3] == (1, "2023-11-14 22:13:20.123", "WorkflowStarted")
    assert {type(event) for event, _ in EVENTS} == set(Event.__args__)


def test_long_payload_is_cut_in_the_history() -> None:
    event = WorkflowCompleted(1, TIME_MS, encode_payload("x" * 10_000))
    ((_, _, _, text),) = history_rows([event])
    assert len(str(text)) < 200


def test_stored_payload_is_shown_by_its_size_and_place() -> None:
    key = f"shop/a-1/r/{'0' * 64}.json"
    reference = encode_reference(StoredPayload(key, "0" * 64, 5_000_000))
    place = f"<5,000,000 bytes, stored as {key}>"
    rows = history_rows(
        [
            WorkflowStarted(1, TIME_MS, "r", "fulfil", input=reference),
            ActivityScheduled(2, TIME_MS, 1, "charge", reference),
            WorkflowCompleted(3, TIME_MS, reference),
        ]
    )
    assert [row[3] for row in rows] == [
        f"fulfil({place})",
        f"charge({place}), number 1",
        f"-> {place}",
    ]


async def takes_text(_ctx: Context, _name: str) -> None:
    pass


async def takes_list(_ctx: Context, _names: list[str]) -> None:
    pass


async def takes_order(_ctx: Context, _order: FailureInfo) -> None:
    pass


async def takes_anything(_ctx: Any, _value: Any) -> None:
    pass


async def takes_nothing(_ctx: Context) -> None:
    pass


@pytest.mark.parametrize(
    "function, expected",
    [
        (takes_text, " --input '\"Ada\"'"),
        (takes_list, " --input '[]'"),
        (takes_order, " --input '{...}'"),
        (takes_anything, " --input JSON"),
        (takes_nothing, ""),
    ],
)
def test_example_input_fits_the_workflow(function: object, expected: str) -> None:
    workflow = define(function)  # type: ignore[call-overload]
    assert isinstance(workflow, Workflow)
    assert example_input(workflow) == expected
