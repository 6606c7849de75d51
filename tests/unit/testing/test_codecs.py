"""Runs whose payloads are encrypted, in virtual time: nothing of them is seen, and nothing is lost without the key."""

from __future__ import annotations

from typing import Any

import pytest

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ActivityError, Failure, WorkflowFailedError
from weft.executor import Hooks
from weft.payloads import Compression, Encryption, PayloadCodecs
from weft.testing import Environment, StuckError, replay

KEY = bytes(range(32))
CODECS = (Compression(500), Encryption({"2026-01": KEY}))
SECRET = "4111-1111"


@activity.define
async def charge(card: str) -> str:
    activity.heartbeat({"card": card})
    return f"{card} is charged"


@activity.define(retry=Retry(max_attempts=2, initial_interval=1))
async def decline(card: str) -> None:
    if activity.info().attempt == 2:
        assert activity.info().heartbeat_details == [card]
    activity.heartbeat([card])
    raise Failure(f"{card} is declined", type="CardDeclined", details={"card": card})


@workflow.define
async def child(ctx: workflow.Context, card: str) -> str:
    approval = await ctx.receive_signal("approval", str)
    if approval == "no":
        raise Failure(f"{card} is refused", type="Refused", details=[card])
    return f"{card} {approval}"


@workflow.define
async def paying(ctx: workflow.Context, card: str) -> list[Any]:
    @ctx.on_query("card")
    def on_card(suffix: str) -> str:
        return card + suffix

    ctx.set_status({"card": card})
    charged = await ctx.execute_activity(charge, card)
    signalled = await ctx.receive_signal("who", str)
    declined: list[Any] = []
    try:
        await ctx.execute_activity(decline, card)
    except ActivityError as error:
        declined = [error.message, error.type, error.details]
    told = ctx.history.results(charge)
    return [charged, signalled, declined, told, "x" * 1_000]


@workflow.define
async def failing(ctx: workflow.Context, card: str) -> None:
    raise Failure(f"{card} is wrong", type="Wrong", details={"card": card})


EXPECTED = [
    f"{SECRET} is charged",
    f"by {SECRET}",
    [f"{SECRET} is declined", "CardDeclined", {"card": SECRET}],
    [f"{SECRET} is charged"],
    "x" * 1_000,
]


def encrypted_log(env: Environment) -> bytes:
    return b"".join(value for owner in env._owners.values() for value in owner._state.values())


def test_encrypted_run_sees_all_and_its_log_shows_nothing() -> None:
    with Environment(payload_codecs=CODECS) as env:
        run = env.start(paying, SECRET)
        assert run.query("card", "!", hint=str) == f"{SECRET}!"
        assert run.custom_status == {"card": SECRET}
        run.signal("who", f"by {SECRET}")
        assert run.result() == EXPECTED
        env.crash()
        assert run.result() == EXPECTED
        assert b"encoded" in encrypted_log(env)
        assert SECRET.encode() not in encrypted_log(env)


def test_encrypted_run_fails_with_what_was_raised() -> None:
    with Environment(payload_codecs=CODECS) as env:
        run = env.start(failing, SECRET)
        with pytest.raises(WorkflowFailedError) as failure:
            run.result()
        assert failure.value.message == f"{SECRET} is wrong"
        assert failure.value.details == {"card": SECRET}
        assert SECRET.encode() not in encrypted_log(env)


@pytest.mark.parametrize("approval", ["yes", "no"])
def test_parent_and_child_exchange_payloads_that_are_each_others(approval: str) -> None:
    @workflow.define
    async def parent(ctx: workflow.Context, card: str) -> list[Any]:
        handle = await ctx.start_child(child.options(namespace="other"), card)
        await handle.signal("approval", approval)
        try:
            return [await handle]
        except Exception as error:  # noqa: BLE001  # what it says is looked at
            return [str(error), getattr(error, "details", None)]

    with Environment(payload_codecs=CODECS) as env:
        result = env.start(parent, SECRET).result()
        assert SECRET.encode() not in encrypted_log(env)
    if approval == "yes":
        assert result == [f"{SECRET} yes"]
    else:
        assert f"{SECRET} is refused" in result[0]
        assert result[1] == [SECRET]


def test_run_is_blocked_without_the_key_and_goes_on_with_it() -> None:
    with Environment(payload_codecs=CODECS) as env:
        run = env.start(paying, SECRET)
        payloads = env._owner.payloads
        chain, payloads.codecs = payloads.codecs, PayloadCodecs([Compression()])
        env.crash()
        run.signal("who", f"by {SECRET}")
        assert run.wait() == "blocked"
        assert "'aes-gcm' with key '2026-01', which this process has not" in run.reason
        with pytest.raises(StuckError, match="blocked"):
            run.result()
        payloads.codecs = chain
        env.crash()
        assert run.result() == [*EXPECTED[:1], f"by {SECRET}", *EXPECTED[2:]]


def test_recorded_history_is_saved_decoded_and_replays(tmp_path: Any) -> None:
    with Environment(payload_codecs=CODECS) as env:
        run = env.start(paying, SECRET)
        run.signal("who", f"by {SECRET}")
        run.result()
        run.save_history(tmp_path / "history.json")
    assert SECRET in (tmp_path / "history.json").read_text(encoding="utf-8")
    assert replay(tmp_path / "history.json", paying) == 1


def test_hooks_are_told_what_the_code_was_told() -> None:
    told: list[Any] = []
    hooks = Hooks(
        on_workflow_start=lambda *about: told.append(about),
        on_workflow_fail=lambda _id, error: told.append(str(error)),
    )
    with Environment(payload_codecs=CODECS, hooks=hooks) as env:
        env.start(failing, SECRET, id="w").wait()
    assert told == [("w", SECRET), f"{SECRET} is wrong"]
