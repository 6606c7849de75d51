"""The workloads, each with what must come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.torture.flows import HOPELESS_ATTEMPTS, Job, mix
from tests.torture.hand import Hand, done_patiently
from tests.torture.ledger import Ending

Case = Callable[[Hand], Awaitable[None]]


async def chain(hand: Hand) -> None:
    job, ending = _chain_job(hand, hand.new_id("chain"))
    await hand.run("chain", job, ending)


def _chain_job(hand: Hand, nonce: str) -> tuple[Job, Ending]:
    value = start = hand.draw.randrange(10**6)
    steps = hand.draw.randint(1, 8)
    for _ in range(steps):
        value = mix(value)
    inline = [number for number in range(steps) if hand.draw.random() < 0.4]
    job = {"nonce": nonce, "value": start, "steps": steps, "inline": inline}
    return job, Ending("completed", {"nonce": nonce, "value": value})


async def fan_out(hand: Hand) -> None:
    nonce = hand.new_id("fan")
    values = [hand.draw.randrange(10**6) for _ in range(hand.draw.randint(5, 40))]
    result = {"nonce": nonce, "sum": sum(map(mix, values))}
    await hand.run("fan_out", {"nonce": nonce, "values": values}, Ending("completed", result))


async def collect(hand: Hand) -> None:
    nonce = hand.new_id("collect")
    numbers = hand.draw.sample(range(1000), hand.draw.randint(3, 12))
    result = {"nonce": nonce, "numbers": sorted(numbers)}
    hand.ledger.expect(nonce, Ending("completed", result))
    await _begin(hand, "collect", {"nonce": nonce, "count": len(numbers)})
    await asyncio.gather(*(hand.signal(nonce, "number", number) for number in numbers))
    await hand.hear_end(nonce)


async def naps(hand: Hand) -> None:
    nonce = hand.new_id("naps")
    seconds = [round(hand.draw.uniform(0.05, 1.5), 3) for _ in range(hand.draw.randint(1, 4))]
    result = {"nonce": nonce, "naps": len(seconds), "early": 0, "gave_up": True}
    await hand.run("naps", {"nonce": nonce, "naps": seconds}, Ending("completed", result))


async def stubborn(hand: Hand) -> None:
    nonce = hand.new_id("stubborn")
    value = hand.draw.randrange(10**6)
    job = {"nonce": nonce, "value": value, "failures": hand.draw.randint(0, 3)}
    result = {"nonce": nonce, "value": mix(value), "attempts": HOPELESS_ATTEMPTS}
    await hand.run("stubborn", job, Ending("completed", result))


async def failing(hand: Hand) -> None:
    nonce = hand.new_id("fail")
    await hand.run("fail", {"nonce": nonce}, Ending("failed", None, nonce))


async def long(hand: Hand) -> None:
    nonce = hand.new_id("long")
    value = start = hand.draw.randrange(10**6)
    rounds = hand.draw.randint(10, 30)
    for _ in range(rounds):
        value = max(mix(value + number) for number in range(4))
    job = {"nonce": nonce, "value": start, "rounds": rounds}
    await hand.run("long", job, Ending("completed", {"nonce": nonce, "value": value}))


async def cancelled(hand: Hand) -> None:
    nonce = hand.new_id("cancel")
    await _cancel(hand, nonce, nonce)


async def _cancel(hand: Hand, workflow_id: str, nonce: str) -> None:
    hand.ledger.expect(workflow_id, Ending("cancelled", None, f"enough of {nonce}"))
    job = {"nonce": nonce, "seconds": round(hand.draw.uniform(0.1, 3.0), 2)}
    await hand.start("tidy_up", job, workflow_id=workflow_id)
    await asyncio.sleep(hand.draw.uniform(0, 0.5))
    handle = hand.client.handle(workflow_id)
    await done_patiently(lambda: handle.cancel(f"enough of {nonce}"))
    await hand.hear_end(workflow_id)


async def terminated(hand: Hand) -> None:
    nonce = hand.new_id("terminate")
    hand.ledger.expect(nonce, Ending("terminated", None, f"enough of {nonce}"))
    await hand.start("endless", {"nonce": nonce})
    handle = hand.client.handle(nonce)
    await done_patiently(lambda: handle.terminate(f"enough of {nonce}"))
    await hand.hear_end(nonce)


async def timed_out(hand: Hand) -> None:
    nonce = hand.new_id("timeout")
    hand.ledger.expect(nonce, Ending("timed_out", None, "not done within 700 ms"))
    await hand.start("endless", {"nonce": nonce}, timeout=0.7)
    await hand.hear_end(nonce)


async def reused(hand: Hand) -> None:
    """One ID, several runs: purged in between, or taken over by the next start."""
    workflow_id = hand.new_id("reuse")
    for generation in range(hand.draw.randint(2, 4)):
        nonce = f"{workflow_id}-{generation}"
        if hand.draw.random() < 0.5:
            job, ending = _chain_job(hand, nonce)
            hand.ledger.expect(workflow_id, ending)
            await hand.start("chain", job, workflow_id=workflow_id)
            await hand.hear_end(workflow_id)
        else:
            await _cancel(hand, workflow_id, nonce)
        if hand.draw.random() < 0.6:
            await _purge(hand, workflow_id)


async def _purge(hand: Hand, workflow_id: str) -> None:
    handle = hand.client.handle(workflow_id)
    await done_patiently(handle.purge)
    hand.ledger.purged.add(workflow_id)


async def replaced(hand: Hand) -> None:
    """A start that ends the run which has its ID."""
    workflow_id = hand.new_id("replace")
    hand.ledger.expect(workflow_id, Ending("terminated", None, "replaced by a new run"))
    await hand.start("endless", {"nonce": f"{workflow_id}-0"}, workflow_id=workflow_id)
    job, ending = _chain_job(hand, f"{workflow_id}-1")
    hand.ledger.expect(workflow_id, ending)
    await hand.start("chain", job, workflow_id=workflow_id, on_conflict="terminate_existing")
    await hand.hear_end(workflow_id)


async def family(hand: Hand) -> None:
    nonce = hand.new_id("family")
    children, counted = [], {}
    for number in range(hand.draw.randint(2, 6)):
        child, ending = _chain_job(hand, f"{nonce}-{number}")
        hand.ledger.expect(child["nonce"], ending)
        children.append(child)
        counted[child["nonce"]] = ending.result["value"]
    total = sum(counted.values())
    failing = [f"{nonce}-fail"] if hand.draw.random() < 0.3 else []
    for name in failing:
        counted[name] = -HOPELESS_ATTEMPTS
        for _ in range(HOPELESS_ATTEMPTS):
            hand.ledger.expect(name, Ending("failed", None, name))
    hand.ledger.children[nonce] = counted
    job = {"nonce": nonce, "children": children, "failing": failing}
    result = {"nonce": nonce, "counted": counted, "total": total}
    await hand.run("family", job, Ending("completed", result))
    for name in counted:  # whom nobody else asks for
        await hand.hear_end(name)


async def tally(hand: Hand) -> None:
    nonce = hand.new_id("tally")
    numbers = hand.draw.sample(range(1000), hand.draw.randint(3, 12))
    hopeless = [-number - 1 for number in range(hand.draw.randint(0, 2))]
    result = {"nonce": nonce, "entered": sorted(numbers)}
    hand.ledger.expect(nonce, Ending("completed", result))
    await _begin(hand, "tally", {"nonce": nonce})
    await asyncio.gather(*(hand.update(nonce, number) for number in (*numbers, *hopeless)))
    await hand.signal(nonce, "close", 0)
    await hand.hear_end(nonce)


async def announce(hand: Hand) -> None:
    nonce = hand.new_id("announce")
    value = start = hand.draw.randrange(10**6)
    steps = hand.draw.randint(1, 8)
    for number in range(steps):
        value = mix(value)
        hand.ledger.published[f"{nonce}/{number}"] = value
    job = {"nonce": nonce, "topic": hand.news, "value": start, "steps": steps}
    await hand.run("announce", job, Ending("completed", {"nonce": nonce, "value": value}))


async def relay(hand: Hand) -> None:
    """Most of the signals are there before any run of the chain has taken one."""
    nonce = hand.new_id("relay")
    numbers = hand.draw.sample(range(1000), hand.draw.randint(4, 16))
    each = hand.draw.randint(1, 4)
    runs = hand.ledger.chains[nonce] = -(-len(numbers) // each)
    result = {"nonce": nonce, "numbers": sorted(numbers), "runs": runs}
    hand.ledger.expect(nonce, Ending("completed", result))
    job = {"nonce": nonce, "numbers": [], "count": len(numbers), "each": each, "runs": 1}
    await _begin(hand, "relay", job)
    await asyncio.gather(*(hand.signal(nonce, "number", number) for number in numbers))
    await hand.hear_end(nonce)


async def _begin(hand: Hand, kind: str, job: Job) -> None:
    """Started in one of the ways that there are, and not waited for."""
    if hand.draw.random() < 0.5:
        await hand.start(kind, job)
    else:
        await hand.start_by_record(kind, job, job["nonce"])


CASES: dict[Case, int] = {
    chain: 8,
    fan_out: 3,
    collect: 5,
    naps: 4,
    stubborn: 3,
    failing: 2,
    long: 1,
    cancelled: 3,
    terminated: 1,
    timed_out: 1,
    reused: 2,
    replaced: 1,
    family: 3,
    tally: 4,
    announce: 3,
    relay: 4,
}
"""How often each is drawn, relative to the others."""
