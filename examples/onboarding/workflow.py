"""A new customer: an account, an identity check by somebody outside, a welcome. If anything fails, nothing is left.

weft dev examples/onboarding/workflow.py
weft start onboard --input '{"name": "Ada Lovelace", "email": "ada@example.org"}' --id ada
weft update ada correct_email --payload '"ada@example.com"'      # refused, with the reason, unless it is an address
weft query ada progress
weft signal ada identity_checked --payload '{"passed": true, "reference": "ID-7"}'
weft result ada
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import Failure

CHECK_TAKES_MAX = timedelta(days=2)
REMIND_EVERY = timedelta(hours=18)

Step = Literal["account", "identity check", "card", "done"]


@dataclass(frozen=True)
class Customer:
    name: str
    email: str


@dataclass(frozen=True)
class Verdict:
    """What the identity check said; it comes as the signal `identity_checked`."""

    passed: bool
    reference: str = ""
    reason: str = ""


@dataclass
class Progress:
    """Also the answer to the query `progress`."""

    step: Step = "account"
    email: str = ""
    reminders: int = 0


@dataclass(frozen=True)
class Onboarded:
    account: str
    email: str
    reference: str


class NotOnboarded(Failure):
    """The customer was turned away, or never proved who they are. What had been made is gone again."""


@activity.define(retry=Retry(max_attempts=10))
async def create_account(customer_id: str, customer: Customer) -> str:
    """Asked for twice, it makes one account: a step may run again after a crash."""
    return f"{customer_id}-{customer.name.split()[-1].lower()}"


@activity.define(retry=Retry(max_attempts=100))
async def delete_account(account: str) -> None:
    """Undoes `create_account`."""


@activity.define
async def request_identity_check(account: str, customer: Customer) -> None:
    """Ask the agency; its answer comes as a signal, within two days if it comes at all."""


@activity.define
async def cancel_identity_check(account: str) -> None:
    """Tell the agency that nobody waits for its answer any more."""


@activity.define(retry=Retry(max_attempts=5))
async def issue_card(account: str, reference: str) -> None:
    """The last step that may fail."""


@activity.define
async def send_mail(email: str, text: str) -> None: ...


@workflow.define
async def onboard(ctx: workflow.Context, customer: Customer) -> Onboarded:
    progress = Progress(email=customer.email)
    verdicts: list[Verdict] = []
    take_messages(ctx, progress, verdicts)

    async with ctx.saga() as saga:
        account = await ctx.execute_activity(create_account, ctx.info.workflow_id, customer)
        saga.on_failure(delete_account, account)

        progress.step = "identity check"
        await ctx.execute_activity(request_identity_check, account, customer)
        verdict = await checked(ctx, account, progress, verdicts)
        if not verdict.passed:
            raise NotOnboarded(verdict.reason or "the identity check failed")

        progress.step = "card"
        await ctx.execute_activity(issue_card, account, verdict.reference)
    progress.step = "done"
    await ctx.execute_activity(send_mail, progress.email, f"Welcome, {customer.name}!")
    await ctx.wait_condition(ctx.all_handlers_finished)
    return Onboarded(account, progress.email, verdict.reference)


def take_messages(ctx: workflow.Context, progress: Progress, verdicts: list[Verdict]) -> None:
    """What can be asked and told from outside while the customer waits."""
    ctx.on_query("progress")(lambda: progress)

    @ctx.on_signal("identity_checked")
    def identity_checked(verdict: Verdict) -> None:
        verdicts.append(verdict)

    def is_address(email: str) -> None:
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
            raise ValueError(f"{email!r} is no address")
        if progress.step == "done":
            raise ValueError("the welcome is on its way already")

    @ctx.on_update("correct_email", validator=is_address)
    async def correct_email(email: str) -> str:
        """The customer has mistyped it. Whoever corrects it learns what it was."""
        former, progress.email = progress.email, email
        await ctx.execute_activity(send_mail, email, "This is your address with us from now on.")
        return former


async def checked(
    ctx: workflow.Context, account: str, progress: Progress, verdicts: list[Verdict]
) -> Verdict:
    """The verdict; the customer is reminded while there is none. Raises NotOnboarded when none comes in time."""
    gives_up = ctx.now() + CHECK_TAKES_MAX
    while not verdicts:
        left = gives_up - ctx.now()
        if not left:
            await ctx.execute_activity(cancel_identity_check, account)
            raise NotOnboarded("no identity check within two days")
        try:
            await ctx.wait_condition(lambda: verdicts, timeout=min(REMIND_EVERY, left))
        except TimeoutError:
            if ctx.now() < gives_up:
                progress.reminders += 1
                await ctx.execute_activity(
                    send_mail, progress.email, "Please show your passport to the agency."
                )
    return verdicts[0]
