"""Customer onboarding in virtual time: two days pass in milliseconds, and its worker crashes everywhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from examples.onboarding.workflow import (
    Customer,
    Onboarded,
    Progress,
    cancel_identity_check,
    create_account,
    delete_account,
    issue_card,
    onboard,
    send_mail,
)

from weft.errors import UpdateRejectedError, WorkflowFailedError
from weft.testing import Environment, Handle, crash_everywhere

pytestmark = pytest.mark.requirement("R2-38")

ADA = Customer("Ada Lovelace", "ada@example.org")
PASSED = {"passed": True, "reference": "ID-7"}
HOUR = timedelta(hours=1)


def texts(env: Environment) -> list[tuple[str, str]]:
    """(address, first word) of all mails."""
    mails = [call.arguments for call in env.calls(send_mail)]
    return [(address, text.split()[0]) for address, text in mails]


def test_customer_is_welcomed_when_the_check_comes_within_two_days(env: Environment) -> None:
    run = env.start(onboard, ADA, id="ada")
    run.signal("identity_checked", PASSED, after=40 * HOUR)
    assert run.result() == Onboarded("ada-lovelace", "ada@example.org", "ID-7")
    assert env.elapsed == 40 * HOUR
    assert texts(env) == [
        ("ada@example.org", "Please"),
        ("ada@example.org", "Please"),
        ("ada@example.org", "Welcome,"),
    ]
    assert env.calls(delete_account) == []


def test_check_that_was_faster_than_its_request_counts(env: Environment) -> None:
    env.fake(create_account, "ada-lovelace", takes=60)
    run = env.start(onboard, ADA, id="ada")
    run.signal("identity_checked", PASSED, after=1)
    assert run.result().reference == "ID-7"
    assert env.elapsed == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ({"passed": False, "reason": "the passport has expired"}, "the passport has expired"),
        ({"passed": False}, "the identity check failed"),
        (None, "no identity check within two days"),
    ],
)
def test_nothing_is_left_of_a_customer_who_is_turned_away(
    env: Environment, verdict: object, message: str
) -> None:
    run = env.start(onboard, ADA, id="ada")
    if verdict is not None:
        run.signal("identity_checked", verdict, after=HOUR)
    with pytest.raises(WorkflowFailedError) as failed:
        run.result()
    assert (failed.value.type, failed.value.message) == ("NotOnboarded", message)
    assert [call.arguments for call in env.calls(delete_account)] == [("ada-lovelace",)]
    assert len(env.calls(cancel_identity_check)) == (verdict is None)
    assert env.elapsed == (48 * HOUR if verdict is None else HOUR)


def test_account_is_deleted_when_the_card_cannot_be_issued(env: Environment) -> None:
    env.fake(issue_card, ConnectionError("the card office is closed"))
    run = env.start(onboard, ADA, id="ada")
    run.signal("identity_checked", PASSED)
    with pytest.raises(WorkflowFailedError, match="the card office is closed"):
        run.result()
    assert len(env.calls(issue_card)) == 5
    assert len(env.calls(delete_account)) == 1


def test_address_is_corrected_while_the_customer_waits(env: Environment) -> None:
    run = env.start(onboard, ADA, id="ada")
    env.advance(20 * HOUR)
    assert run.query("progress", hint=Progress) == Progress("identity check", ADA.email, 1)
    with pytest.raises(UpdateRejectedError, match="'ada' is no address"):
        run.update("correct_email", "ada")
    with pytest.raises(UpdateRejectedError, match="does not fit"):
        run.update("correct_email", 7)
    assert run.update("correct_email", "ada@example.com", hint=str) == "ada@example.org"
    run.signal("identity_checked", PASSED, after=HOUR)
    assert run.result().email == "ada@example.com"
    assert texts(env)[-1] == ("ada@example.com", "Welcome,")


def correct_and_pass(env: Environment, run: Handle[Any]) -> None:
    env.fake(create_account, ConnectionError("away"), "account-1", takes=5)
    run.signal("identity_checked", PASSED, after=40 * HOUR)
    run.update("correct_email", "ada@example.com", after=30 * HOUR)
    with pytest.raises(UpdateRejectedError):
        run.update("correct_email", "nobody")
    run.update("correct_email", "ada@example.net")


def turn_away(env: Environment, run: Handle[Any]) -> None:
    env.fake(delete_account, ConnectionError("away"), None)
    run.update("correct_email", "ada@example.net", wait="accepted")


@pytest.mark.requirement("R1-28")
def test_onboarding_ends_the_same_when_its_worker_crashes_anywhere() -> None:
    result = crash_everywhere(onboard, ADA, play=correct_and_pass)
    assert result == Onboarded("account-1", "ada@example.com", "ID-7")
    assert crash_everywhere(onboard, ADA, play=turn_away) is None


def test_steps_that_may_run_twice_are_retried_patiently() -> None:
    """What undoes must not give up before what it undoes."""
    tries = {one.name: one.policy for one in (create_account, delete_account)}
    assert tries["delete_account"].max_attempts > tries["create_account"].max_attempts
