"""The checks of the torture find what they are there for: each rule is broken on made-up data."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.torture import exchanges
from tests.torture.flows import mix
from tests.torture.hand import REJECTED
from tests.torture.ledger import Ledger, Update
from weft.records import (
    Caller,
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    Event,
    FailureInfo,
    Payload,
    SignalReceived,
    UpdateAccepted,
    UpdateCompleted,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
)

Made = tuple[dict[str, list[Event]], Ledger]
Break = Callable[[dict[str, list[Event]], Ledger], object]


def payload(value: object) -> Payload:
    return Payload(json.dumps(value).encode())


def started(run_id: str, **fields: Any) -> WorkflowStarted:
    return WorkflowStarted(1, 0, run_id, "w", **fields)


def completed(value: object) -> WorkflowCompleted:
    return WorkflowCompleted(99, 0, payload(value))


def family(result: dict[str, Any] | None = None) -> Made:
    """`p` has two children: one comes to 5, the other fails three times."""
    parent = Caller("ns", "p", "run-p", 1)
    counted = {"p-0": 5, "p-fail": -3}
    no = FailureInfo("Tortured", "p-fail")
    histories: dict[str, list[Event]] = {
        "p": [
            started("run-p"),
            ChildScheduled(2, 0, 1, "chain", "p-0"),
            ChildScheduled(3, 0, 2, "fail", "p-fail"),
            ChildCompleted(4, 0, 1, "chain", "run-0", 1, payload({"value": 5})),
            ChildFailed(5, 0, 2, "fail", "run-f", 3, "failed", no),
            completed(result or {"counted": counted, "total": 5}),
        ],
        "p-0": [started("run-0", parent=parent), completed({"value": 5})],
        "p-fail": [started("run-f", parent=parent), WorkflowFailed(2, 0, no)],
    }
    return histories, Ledger(children={"p": counted})


def put(name: str, place: int, event: Event) -> Break:
    def change(histories: dict[str, list[Event]], _: Ledger) -> None:
        histories[name][place] = event

    return change


@pytest.mark.parametrize(
    "break_rule",
    [
        lambda h, _: h["p"].insert(4, h["p"][3]),
        lambda h, _: h["p"].pop(3),
        lambda h, _: h.pop("p-0"),
        put("p", 3, ChildCompleted(4, 0, 1, "chain", "run-0", 1, payload({"value": 6}))),
        put("p", 3, ChildCompleted(4, 0, 1, "chain", "run-1", 1, payload({"value": 5}))),
        put("p", 4, ChildCompleted(5, 0, 2, "fail", "run-f", 1, payload(None))),
        put("p", 5, completed({"counted": {"p-0": 5, "p-fail": -3}, "total": 10})),
        put("p", 5, completed({"counted": {"p-0": 5, "p-fail": -2}, "total": 5})),
        put("p-0", 0, started("run-0")),
    ],
    ids="twice never lost other_result other_run no_failure added_twice attempts orphan".split(),  # noqa: SIM905  # reads best
)
def test_child_that_does_not_count_once_is_found(break_rule: Break) -> None:
    histories, ledger = family()
    assert exchanges.check_children(histories, ledger) == []
    break_rule(histories, ledger)
    assert exchanges.check_children(histories, ledger)


def truth(place: int, number: int) -> dict[str, int]:
    return {"place": place, "value": mix(number)}


def tally() -> Made:
    histories: dict[str, list[Event]] = {
        "t": [
            started("run-t"),
            UpdateAccepted(2, 0, "enter", "u-7"),
            UpdateAccepted(3, 0, "enter", "u-4"),
            UpdateCompleted(4, 0, "enter", "u-4", payload(truth(2, 4))),
            UpdateCompleted(5, 0, "enter", "u-7", payload(truth(1, 7))),
            completed({"entered": [4, 7]}),
        ]
    }
    updates = {
        "u-4": Update(4, [truth(2, 4)]),
        "u-7": Update(7, [truth(1, 7), truth(1, 7)]),
        "u-no": Update(-1, [REJECTED]),
    }
    return histories, Ledger(updates={"t": updates})


def tell(update_id: str, *replies: object) -> Break:
    def change(_: object, ledger: Ledger) -> None:
        ledger.updates["t"][update_id].replies = list(replies)

    return change


@pytest.mark.parametrize(
    "break_rule",
    [
        lambda h, _: h["t"].insert(3, UpdateAccepted(3, 0, "enter", "u-4")),
        lambda h, _: h["t"].insert(3, UpdateAccepted(3, 0, "enter", "u-no")),
        lambda h, _: h["t"].pop(2),
        lambda h, _: h["t"].insert(4, h["t"][3]),
        lambda h, _: h["t"].pop(3),
        put("t", 5, completed({"entered": [4, 4, 7]})),
        put("t", 5, completed({"entered": [4]})),
        tell("u-7", truth(1, 7), truth(2, 7)),
        tell("u-4", REJECTED),
        tell("u-4"),
        tell("u-no", truth(3, -1)),
    ],
    ids="twice rejected never two_ends no_end added_twice lost other_reply refused silence passed".split(),  # noqa: SIM905  # reads best
)
def test_update_that_is_not_applied_once_or_lied_about_is_found(break_rule: Break) -> None:
    histories, ledger = tally()
    assert exchanges.check_updates(histories, ledger) == []
    break_rule(histories, ledger)
    assert exchanges.check_updates(histories, ledger)


@pytest.mark.parametrize(
    "records",
    [
        [("a/0", 1)],
        [("a/0", 1), ("a/1", 2), ("a/1", 2)],
        [("a/0", 1), ("a/1", 3)],
        [("a/0", 1), ("a/1", 2), ("b/0", None)],
    ],
    ids=["lost", "twice", "other", "unasked"],
)
def test_published_record_that_is_not_there_once_is_found(records: list[tuple[str, Any]]) -> None:
    ledger = Ledger(published={"a/0": 1, "a/1": 2})
    assert exchanges.check_published([("a/1", 2), ("a/0", 1)], ledger) == []
    assert exchanges.check_published(records, ledger)


def event(kind: str, run_id: str, **data: str) -> dict[str, Any]:
    data["run_id"] = run_id
    return {"subject": "r", "type": f"weft.workflow.{kind}", "data": data}


def relay() -> Made:
    """`r` takes three signals in two runs."""
    ids = ["r/number/1/aa", "r/number/2/bb", "r/number/3/cc"]
    last: list[Event] = [
        started("run-2", continued_from="run-1", signal_ids=tuple(ids[:2])),
        SignalReceived(2, 0, "number", payload(3), ids[2]),
        completed({"numbers": [1, 2, 3]}),
    ]
    return {"r": last}, Ledger(chains={"r": 2}, signal_ids={"r": set(ids)})


LINKS = [
    event("started", "run-1"),
    event("continued", "run-1", next_run_id="run-2"),
    event("started", "run-2", continued_from="run-1"),
    event("completed", "run-2"),
]


@pytest.mark.parametrize(
    "break_rule",
    [
        lambda h, _: h["r"].pop(1),
        lambda h, _: h["r"].insert(2, h["r"][1]),
        lambda h, _: h.pop("r"),
        put("r", 0, started("run-2", signal_ids=("r/number/1/aa",))),
        put("r", 2, completed({"numbers": [1, 2]})),
        put("r", 2, completed({"numbers": [1, 2, 2, 3]})),
        lambda _, ledger: ledger.chains.update(r=3),
    ],
    ids="lost twice gone forgotten not_taken taken_twice runs".split(),  # noqa: SIM905  # reads best
)
def test_chain_that_loses_a_signal_is_found(break_rule: Break) -> None:
    histories, ledger = relay()
    assert exchanges.check_chains(LINKS, histories, ledger) == []
    break_rule(histories, ledger)
    assert exchanges.check_chains(LINKS, histories, ledger)


@pytest.mark.parametrize("links", [LINKS[:1] + LINKS[2:], LINKS[:2], [*LINKS, LINKS[1]]])
def test_chain_whose_runs_do_not_follow_one_another_is_found(links: list[dict[str, Any]]) -> None:
    assert exchanges.check_chains(links, *relay())
