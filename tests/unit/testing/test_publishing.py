"""`ctx.publish` in virtual time: what is written, once, whatever crashes, and what the code is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pydantic
import pytest

from weft import workflow
from weft.errors import NondeterminismError, RecordTooLargeError, UsageError
from weft.records import RecordPublished
from weft.testing import Environment, Published, crash_everywhere, replay
from weft.workflow import Context, GeneratorContext


@dataclass
class Shipment:
    order: str
    lines: int


class Label(pydantic.BaseModel):
    text: str


@workflow.define
async def ship(ctx: Context, order: str) -> str:
    await ctx.publish(
        "shipments", key=order, value=Shipment(order, 2), headers={"kind": "first", "raw": b"\xff"}
    )
    await ctx.sleep(60)
    ctx.publish("labels", value=Label(text="a"))  # nobody waits for it
    await asyncio.gather(*(ctx.publish("labels", value=b"plain") for _ in range(2)))
    ctx.publish("shipments", key=order, value=None)
    return "shipped"


@pytest.mark.requirement("R3-14")
def test_publish_writes_each_record_once_when_it_crashes_everywhere() -> None:
    with Environment() as env:
        run = env.start(ship, "o-1")
        assert env.published() == [
            Published(
                "shipments", "o-1", b'{"order":"o-1","lines":2}', {"kind": b"first", "raw": b"\xff"}
            )
        ]
        env.crash()
        assert run.result() == "shipped"
        assert [one.value for one in env.published("labels")] == [{"text": "a"}, b"plain", b"plain"]
        assert [(one.key, one.data) for one in env.published("shipments")][1:] == [("o-1", None)]
        assert env.published("shipments")[0].decode(Shipment) == Shipment("o-1", 2)
    assert crash_everywhere(ship, "o-1") == "shipped"


@workflow.define
async def refusals(ctx: Context, topic: str) -> list[str]:
    told = []
    for size in (10, 1_048_588, 10):
        try:
            await ctx.publish(topic, value="x" * size)
            told.append("published")
        except (UsageError, RecordTooLargeError) as error:
            told.append(f"{type(error).__name__}: {error}")
        await ctx.sleep(1)
    return told


def test_publish_tells_the_code_of_a_record_that_is_too_large() -> None:
    with Environment() as env:
        first, large, last = env.start(refusals, "news").result()
        assert (first, last) == ("published", "published")
        assert large.startswith("RecordTooLargeError: A record of 1,048,690 bytes")
        assert "larger than topic news takes (1,048,588)" in large
        assert len(env.published("news")) == 2
    assert crash_everywhere(refusals, "news") == [first, large, last]


@pytest.mark.parametrize("topic", ["test.state", "test.anything", "test.tasks.default"])
def test_publish_refuses_topics_of_the_engine(topic: str) -> None:
    with Environment() as env:
        told = env.start(refusals, topic).result()
        assert all(one.startswith("UsageError") and "Weft's own" in one for one in told)
        assert env.published() == []


@pytest.mark.parametrize(
    "what,told",
    [
        ({"topic": "no topic"}, "cannot be a topic"),
        ({"topic": ".."}, "cannot be a topic"),
        ({"key": 5}, "key is a text or bytes"),
        ({"headers": {"count": 5}}, "header 'count'"),
        ({"key": "\ud800"}, "lone surrogate"),
    ],
)
def test_publish_refuses_at_once_what_no_record_can_hold(what: dict[str, Any], told: str) -> None:
    @workflow.define
    async def careless(ctx: Context) -> None:
        with pytest.raises(UsageError, match=told):
            ctx.publish(**{"topic": "news", "value": 1, **what})

    with Environment() as env:
        env.start(careless).result()
        assert env.published() == []


def test_publish_goes_out_with_the_step_that_ends_the_run() -> None:
    @workflow.define
    async def parting(ctx: Context) -> int:
        ctx.publish("news", value="bye")
        return 1

    with Environment() as env:
        assert env.start(parting).result() == 1
        assert [one.value for one in env.published("news")] == ["bye"]


def test_publish_is_withdrawn_when_it_is_cancelled_in_the_same_step() -> None:
    @workflow.define
    async def hesitant(ctx: Context) -> int:
        ctx.publish("news", value="no").cancel()
        await ctx.publish("news", value="yes")
        return 1

    assert crash_everywhere(hesitant) == 1
    with Environment() as env:
        run = env.start(hesitant)
        run.result()
        assert [one.value for one in env.published("news")] == ["yes"]
        assert len([event for event in run.history if isinstance(event, RecordPublished)]) == 1


def test_publish_works_in_generators() -> None:
    @workflow.define
    def telling(ctx: GeneratorContext, name: str) -> Any:
        yield ctx.publish("news", key=name, value={"name": name})
        yield ctx.create_timer(timedelta(seconds=5))
        yield ctx.publish("news", key=name, value=None)

    crash_everywhere(telling, "ada")
    with Environment() as env:
        env.start(telling, "ada").result()
        assert [one.value for one in env.published("news")] == [{"name": "ada"}, None]


def test_history_keeps_no_value_and_replay_compares_topics_and_numbers() -> None:
    @workflow.define(name="ship")
    async def elsewhere(ctx: Context, order: str) -> str:
        await ctx.publish("parcels", key=order, value=1)
        return "shipped"

    with Environment() as env:
        run = env.start(ship, "o-1")
        run.result()
        events = run.history
    assert b"o-1" not in b"".join(repr(event).encode() for event in events[1:])
    assert replay(events, ship) == 1
    with pytest.raises(NondeterminismError) as raised:
        replay(events, elsewhere)
    assert (raised.value.event_id, raised.value.expected) == (
        2,
        'PublishRecord to "shipments" (number 1)',
    )
    assert raised.value.actual == 'PublishRecord to "parcels" (number 1)'


def test_replay_check_finds_a_value_that_is_another_every_time() -> None:
    counts = iter(range(1000))

    @workflow.define
    async def counting(ctx: Context) -> None:
        await ctx.publish("news", key="k", value={"count": next(counts)})
        await ctx.sleep(1)

    with Environment() as env, pytest.raises(NondeterminismError, match="PublishRecord"):
        env.start(counting).result()
