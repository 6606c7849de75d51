"""Whether the sums hold: every accepted order ended once, as it had to, and the world agrees.

    python -m examples.orders.check FOLDER

Prints the report of a run whose evidence lies in FOLDER, and which orders differ and how. Exit status 0: the sums hold;
1: they do not; 2: there is no such evidence.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from examples.orders.evidence import Event, Evidence, State, Told, load
from examples.orders.expected import expect
from examples.orders.model import CATEGORIES, Order
from examples.orders.reading import OrdersFileError
from examples.orders.report import Report, print_report
from examples.orders.world import Execution

ENDINGS = frozenset({"completed", "failed", "cancelled", "terminated", "timed_out"})

T = TypeVar("T", Told, Event, State, Execution)


@dataclass(frozen=True, slots=True)
class _Case:
    """What the witnesses say of one order."""

    told: list[Told]
    started: list[Event]
    endings: list[Event]
    states: list[State]
    executions: list[Execution]

    @property
    def lost(self) -> bool:
        return not (self.told and self.told[0].outcome and self.endings and self.states)


def check(evidence: Evidence) -> Report:
    """Hold every order against what was expected of it, and all witnesses against each other."""
    cases = _cases(evidence)
    accepted = {order.id: order for order in evidence.book.orders}
    differences = [
        f"{order_id}: is no order of the file, but something happened to it"
        for order_id in cases
        if order_id not in accepted
    ]
    for order in accepted.values():
        case = cases.get(order.id) or _Case([], [], [], [], [])
        differences += [f"{order.id}: {text}" for text in _differences(order, case)]
    repeated = _repeated(evidence.executions)
    differences += _unexplained(repeated, evidence.run.kills_ms)
    categories = Counter(told.outcome["category"] for told in evidence.told if told.outcome)
    return Report(
        backend=evidence.run.backend,
        orders_read=evidence.book.lines_read,
        rejected=evidence.book.rejected,
        started=sum(event.type == "started" for event in evidence.events),
        ended={category: categories[category] for category in CATEGORIES},
        lost=sum(order_id not in cases or cases[order_id].lost for order_id in accepted),
        completed_twice=sum(len(case.endings) > 1 for case in cases.values()),
        activities_run=len(evidence.executions),
        retries=len({(execution.key, execution.attempt) for execution in evidence.executions})
        - len({execution.key for execution in evidence.executions}),
        activities_run_more_than_once=len(repeated),
        workers_killed=len(evidence.run.kills_ms),
        seconds=evidence.run.seconds,
        differences=differences,
    )


def _cases(evidence: Evidence) -> dict[str, _Case]:
    told, states = _by_order(evidence.told), _by_order(evidence.states)
    events, executions = _by_order(evidence.events), _by_order(evidence.executions)
    return {
        order_id: _Case(
            told.get(order_id, []),
            [event for event in events.get(order_id, []) if event.type == "started"],
            [event for event in events.get(order_id, []) if event.type in ENDINGS],
            states.get(order_id, []),
            executions.get(order_id, []),
        )
        for order_id in {**told, **events, **states, **executions}
    }


def _by_order(items: Iterable[T]) -> Mapping[str, list[T]]:
    grouped: dict[str, list[T]] = defaultdict(list)
    for item in items:
        grouped[item.order_id].append(item)
    return grouped


def _differences(order: Order, case: _Case) -> Iterator[str]:
    yield from _different_ends(order, case)
    expected = expect(order)
    # The world counts the first execution with a key; an attempt that failed twice failed once.
    effects = Counter({(each.activity, each.key): 1 for each in case.executions if not each.error})
    took_effect = Counter(activity for activity, _key in effects)
    yield from _different_counts("took effect", took_effect, expected.effects)
    failures = {
        (each.activity, each.error, each.key, each.attempt)
        for each in case.executions
        if each.error
    }
    failed = Counter(f"{activity} with {error}" for activity, error, _key, _attempt in failures)
    expected_failures = Counter(
        {
            f"{activity} with {error}": count
            for (activity, error), count in expected.failures.items()
        }
    )
    yield from _different_counts("failed", failed, expected_failures)
    if took_effect["ship"] and took_effect["refund"]:
        yield "was shipped and refunded"
    if took_effect["charge"] and not took_effect["ship"] and not took_effect["refund"]:
        yield "was charged, but neither shipped nor refunded"


def _different_ends(order: Order, case: _Case) -> Iterator[str]:
    category = expect(order).category
    if len(case.started) != 1:
        yield f"was started {len(case.started)} times"
    if len(case.endings) != 1:
        yield f"ended {len(case.endings)} times" if case.endings else "never ended: lost"
    elif case.endings[0].type != "completed":
        yield f"the event of its end says {case.endings[0].type}"
    if len(case.told) != 1:
        yield f"the client was told {len(case.told)} ends"
        return
    told = case.told[0]
    if told.outcome is None:
        yield f"expected {category}, but the client was told: {told.error}"
    elif told.outcome["category"] != category:
        yield f"expected {category}, but it was {told.outcome['category']} ({told.outcome['reason']})"
    if not case.states:
        yield "is not on the state topic: lost"
        return
    state = case.states[0]
    if state.status != "completed" or state.outcome != told.outcome:
        yield f"the state topic says {state.status} {state.outcome}, the client was told {told.outcome}"
    run_ids = {event.run_id for event in case.endings} | {state.run_id, told.run_id}
    if len(run_ids) != 1:
        yield f"the witnesses speak of {len(run_ids)} runs"


def _different_counts(what: str, found: Counter[str], expected: Counter[str]) -> Iterator[str]:
    for name in sorted({*found, *expected}):
        if found[name] != expected[name]:
            yield f"{name} {what} {found[name]} times instead of {expected[name]}"


def _repeated(executions: Iterable[Execution]) -> list[tuple[Execution, Execution]]:
    """(again, before): the executions of an attempt that had been executed before."""
    last_by_attempt: dict[tuple[str, int], Execution] = {}
    repeated = []
    for execution in executions:
        attempt = (execution.key, execution.attempt)
        if attempt in last_by_attempt:
            repeated.append((execution, last_by_attempt[attempt]))
        last_by_attempt[attempt] = execution
    return repeated


def _unexplained(
    repeated: Iterable[tuple[Execution, Execution]], kills_ms: Iterable[int]
) -> Iterator[str]:
    """An activity may run again once a worker has died, or when a worker that joins takes its partition over."""
    first_kill_ms = min(kills_ms, default=None)
    for again, before in repeated:
        is_before_any_kill = first_kill_ms is None or again.time_ms < first_kill_ms
        if is_before_any_kill and again.pid == before.pid:
            yield f"{again.order_id}: {again.activity} was run again by a worker that nothing had happened to"


def main() -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.orders.check", description=__doc__)
    parser.add_argument("folder", type=Path, help="what `demo --keep FOLDER` has left")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()
    try:
        evidence = load(options.folder)
    except (OSError, ValueError, TypeError, OrdersFileError) as error:
        print(f"{options.folder} does not hold the evidence of a run: {error}", file=sys.stderr)
        return 2
    report = check(evidence)
    print_report(report, as_json=options.json)
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
