"""Every block of docs/patterns.md is run: in virtual time where it can be, with a crash at every event."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import ROOT, block, blocks, commands
from weft.codec import decode_payload
from weft.errors import WorkflowFailedError
from weft.hitl import InteractionResponse
from weft.testing import Environment, Handle, crash_everywhere

PAGE = (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)
DAY = timedelta(days=1)


@pytest.mark.requirement("R3-36")
def test_blocks_are_all_tested_and_listed() -> None:
    assert PAGE.count("```") == 2 * len(BLOCKS)
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in BLOCKS if f'@block("{name}")' not in source] == ["answer"]
    headings = [line[3:] for line in PAGE.splitlines() if line.startswith("## ")]
    anchors = ["#" + heading.lower().replace(" ", "-").replace(",", "") for heading in headings]
    listed = [
        line.partition("](")[2].partition(")")[0] for line in PAGE.splitlines() if line[:3] == "| ["
    ]
    assert listed == anchors


@pytest.mark.requirement("R3-36")
@block("chain")
def test_chain_gives_each_step_what_the_one_before_gave(page: Any, env: Environment) -> None:
    run = env.start(page.pipeline, "The whale the Sea")
    assert run.result() == 4
    assert env.calls(page.load)[0].arguments == (["sea", "the", "the", "whale"],)
    assert run.custom_status == "extracted"
    assert crash_everywhere(page.pipeline, "The whale") == 2


@pytest.mark.requirement("R2-27", "R2-28", "R2-29", "R3-36")
@block("fan_out")
def test_fan_out_takes_the_best_or_the_first(page: Any, env: Environment) -> None:
    assert env.start(page.cheapest, ["north", "south", "nowhere"]).result() == 390

    async def price(shop: str) -> int:
        await asyncio.sleep(60 if shop == "south" else 600)
        return len(shop)

    def play(env: Environment, _run: object) -> None:
        env.fake(page.ask_price, price)

    play(env, None)
    assert env.start(page.fastest, ["far away", "south"]).result() == 5
    assert crash_everywhere(page.fastest, ["far away", "south"], play=play) == 5
    assert crash_everywhere(page.cheapest, ["far away", "south"], play=play) == 5


@pytest.mark.requirement("R2-29", "R3-36")
@block("bounded")
def test_no_more_are_under_way_than_may_be(page: Any, env: Environment) -> None:
    env.fake(page.convert, page.convert.function, takes=60)
    result = env.start(page.convert_book, 16).result()
    assert (len(result["done"]), result["failed"]) == (15, ["page 13: blank"])
    first = env.calls(page.convert)[0].time
    begun = [call.arguments[0] for call in env.calls(page.convert) if call.time == first]
    assert begun == [0, 1, 2, 3]
    assert crash_everywhere(page.convert_book, 6) == {
        "done": [f"page {page}" for page in range(6)],
        "failed": [],
    }


@pytest.mark.requirement("R2-23", "R3-36")
@block("decision")
def test_decision_stands_once_it_is_recorded(page: Any, env: Environment) -> None:
    drawn = iter(["Ada", "Grace"])
    env.fake(page.draw, lambda _names: next(drawn))
    run = env.start(page.raffle, ["Ada", "Grace"])
    env.advance(60)
    env.crash()
    assert run.result() == "well done, Ada"
    assert len(env.calls(page.draw)) == 1
    env.fake(page.draw, page.draw.function)
    assert env.start(page.raffle, ["Emmy"]).result() == "well done, Emmy"


@pytest.mark.requirement("R2-30", "R3-36")
@block("saga")
def test_saga_undoes_last_first(page: Any, env: Environment) -> None:
    assert env.start(page.travel, ["a room"]).result() == ["a room is booked"]
    with pytest.raises(WorkflowFailedError, match="no car left"):
        env.start(page.travel, ["a flight", "a room", "a car"]).result()
    undone = [call.arguments[0] for call in env.calls(page.give_back)]
    assert undone == ["a room", "a flight"]
    assert crash_everywhere(page.travel, ["a flight", "a car"]) is None


@pytest.mark.requirement("R1-21", "R2-31", "R3-36")
@block("people")
def test_person_is_asked_unless_a_policy_says_otherwise(page: Any, env: Environment) -> None:
    assert env.start(page.careful, "sort_files").result() == "sort_files is done"
    assert env.calls(page.tell) == []
    run = env.start(page.careful, "delete_files")
    query, update, signal = commands(BLOCKS["answer"])
    assert query[:2] == ["weft", "query"]
    assert [each["request"]["id"] for each in run.query(query[3])] == ["hitl-1"]
    payload = decode_payload(signal[-1].encode())
    assert decode_payload(signal[-1].encode(), InteractionResponse).decision == "approve"

    def play(_env: Environment, run: Handle[Any]) -> None:
        run.signal(signal[3], payload, after=1.5 * DAY)

    play(env, run)
    assert run.result() == "delete_files is done"
    assert len(env.calls(page.tell)) == 2
    run = env.start(page.careful, "delete_files")
    run.update(update[3], decode_payload(update[-1].encode()))
    assert run.result() == "delete_files is done"
    assert env.start(page.careful, "delete_files").result() == "nobody answered"
    assert crash_everywhere(page.careful, "delete_files", play=play) == "delete_files is done"


@pytest.mark.requirement("R2-21", "R3-10", "R3-36")
@block("events")
def test_events_are_taken_whenever_they_come(page: Any, env: Environment) -> None:
    run = env.start(page.basket)
    run.signal("add", "a lamp")
    assert run.query("lines") == ["a lamp"]
    run.signal("add", "a chair", after=DAY)
    run.signal("checkout", after=2 * DAY)
    assert run.result() == ["a lamp", "a chair"]

    def vote(_env: Environment, run: Handle[Any]) -> None:
        for voter in ("Ada", "Ada", "Grace"):
            run.signal("vote", voter)

    assert crash_everywhere(page.quorum, 2, play=vote) == ["Ada", "Grace"]


@pytest.mark.requirement("R2-26", "R3-25", "R3-36")
@block("timers")
def test_timers_fire_when_they_are_due(page: Any, env: Environment) -> None:
    assert env.start(page.trial, "Ada").result() == "not bought"
    days = [(call.time - env.calls()[0].time).days + 1 for call in env.calls(page.write_to)]
    assert days == [1, 7, 13]
    run = env.start(page.trial, "Grace")
    run.signal("bought", after=2 * DAY)
    assert run.result() == "bought"
    assert crash_everywhere(page.trial, "Emmy") == "not bought"
    env.start(page.at_new_year, "Ada").result()
    assert env.now == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.requirement("R3-36")
@block("monitor")
def test_monitor_looks_until_it_is_done_or_a_day_is_over(page: Any, env: Environment) -> None:
    env.fake(page.state_of, "running", "running", "running", "done")
    run = env.start(page.watch, "job-1")
    assert run.result() == "done"
    assert env.elapsed == timedelta(seconds=10 + 20 + 40)
    assert run.custom_status == "still running at 00:00"
    env.fake(page.state_of, "running")
    assert env.start(page.watch, "job-2").result() == "given up"

    def play(env: Environment, _run: object) -> None:
        env.fake(page.state_of, *["running"] * 5, "failed")

    assert crash_everywhere(page.watch, "job-3", play=play) == "failed"


@pytest.mark.requirement("R3-36")
@block("for_ever")
def test_account_is_kept_from_run_to_run(page: Any, env: Environment) -> None:
    def play(_env: Environment, run: Handle[Any]) -> None:
        for day in range(5, 100, 10):
            run.signal("transfer", day, after=day * DAY)
        run.signal("transfer", 0, after=100 * DAY)

    run = env.start(page.keep_account, page.Account("Ada"))
    play(env, run)
    env.advance(40 * DAY)
    assert run.query("balance") == 5 + 15 + 25 + 35
    closed = page.Account("Ada", sum(range(5, 100, 10)), rounds=3)
    assert run.result() == closed
    assert len(run.history) < 20, "of the last run alone"
    assert crash_everywhere(page.keep_account, page.Account("Ada"), play=play) == closed


@pytest.mark.requirement("R3-15", "R3-36")
@block("children")
def test_children_have_lives_of_their_own(page: Any, env: Environment) -> None:
    """Whoever knows a child's ID tells it that its parcel has arrived."""

    def play(env: Environment, _run: object) -> None:
        env.advance(60)
        env.handle("move-lamp").signal("arrived", after=DAY)
        env.handle("move-chair").terminate("it fell off", after=DAY)

    run = env.start(page.deliver_all, ["lamp", "chair"], id="move")
    play(env, run)
    lamp, chair = run.result()
    assert lamp == "lamp is there"
    assert chair.startswith("lost: ")
    assert "terminated" in chair
    assert crash_everywhere(page.deliver_all, ["lamp", "chair"], id="move", play=play) == [
        lamp,
        chair,
    ]
