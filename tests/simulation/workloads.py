"""What users do in a simulation. A workload takes a user and an ID that is its own, and says what must come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from tests.simulation import workflows as flows
from tests.simulation.plain import PlainProducer
from tests.simulation.users import User
from weft.client import Handle
from weft.errors import AlreadyStartedError

Workload = Callable[[User, PlainProducer, str], Awaitable[None]]


async def chains(user: User, _plain: PlainProducer, id: str) -> None:
    length = user.random.randrange(1, 9)
    user.expect(id, "completed", lambda total: total == sum(range(length)))
    handle = await user.start(flows.chain, length, id)
    await user.end(user.anybody(handle))


async def fans(user: User, _plain: PlainProducer, id: str) -> None:
    width = user.random.choice([2, 5, 30])
    user.expect(id, "completed", lambda total: total == sum(range(width)) + width)
    handle = await user.start(flows.fan_out, width, id)
    await user.end(handle)


async def bursts(user: User, plain: PlainProducer, id: str) -> None:
    """Signals in bursts, each several times, by this client and by plain producers, some on a wrong partition."""
    count = user.random.randrange(1, 25)
    numbers = set(range(count))
    user.expect(id, "completed", lambda got: len(got) == count and set(got) == numbers)
    handle = await user.start(flows.inbox, count, id)
    confirmed: set[int] = set()

    async def send(number: int) -> None:
        signal_id = f"{id}/{number}"
        for _ in range(user.random.choice([1, 1, 2, 3])):
            await user.pause(3.0)
            if user.random.random() < 0.5:
                if await user.signal(handle, "number", number, signal_id):
                    confirmed.add(number)
                await ask(len(confirmed))
            else:
                await plain.signal(id, "number", number, signal_id)

    async def ask(least: int) -> None:
        """What was confirmed before a query is asked, its answer knows of."""
        told = await user.ask(lambda: handle.query("count", timeout_s=5.0))
        if told is not None and told < least:
            user.facts.surprises.append(f"{id}: a query knows of {told} signals, not of {least}")

    await asyncio.gather(*(send(number) for number in range(count)))
    await user.end(handle)


async def naps(user: User, _plain: PlainProducer, id: str) -> None:
    seconds = [round(user.random.random() * 6, 3) for _ in range(user.random.randrange(1, 6))]
    user.expect(id, "completed", lambda slept: len(slept) == len(seconds))
    handle = await user.start(flows.sleeper, seconds, id)
    await user.end(handle)


async def cancellations(user: User, _plain: PlainProducer, id: str) -> None:
    """Cancelled while it waits, twice; a signal may come first."""
    handle = await user.start(flows.waiter, 10_000.0, id)
    user.expect(id, "cancelled")
    await user.pause(4.0)
    if user.random.random() < 0.3:
        user.expect(id, "completed", lambda word: word == "now")
        assert await user.signal(handle, "go", "now", f"{id}/go")
    for _ in range(user.random.choice([1, 2])):
        await user.ask(lambda: handle.cancel("no longer wanted", timeout_s=5.0))
    await user.end(handle)


async def terminations(user: User, _plain: PlainProducer, id: str) -> None:
    handle = await user.start(flows.waiter, 10_000.0, id)
    user.expect(id, "terminated")
    await user.pause(4.0)
    await user.ask(lambda: handle.terminate("enough", timeout_s=5.0))
    await user.end(handle)


async def deadlines(user: User, _plain: PlainProducer, id: str) -> None:
    """The whole run has less time than it wants."""
    user.expect(id, "timed_out")
    handle = await user.start(flows.waiter, 10_000.0, id, timeout=user.random.choice([1.0, 4.0]))
    await user.end(handle)


async def races(user: User, _plain: PlainProducer, id: str) -> None:
    user.expect(id, "completed", lambda winner: winner in {"timer", "TimeoutError"})
    handle = await user.start(flows.racer, user.random.choice([0.5, 4.0, 30.0]), id)
    await user.end(handle)


async def climbs(user: User, _plain: PlainProducer, id: str) -> None:
    """A long activity, given up by those who have little patience: whoever has more sees its end."""
    steps = user.random.choice([6, 30, 60])
    patience = user.random.choice([3.0, 10_000.0, 10_000.0])
    user.expect(id, "completed", lambda top: top == steps or (top == -1 and patience < 10))
    handle = await user.start(flows.climber, (steps, patience), id)
    await user.end(handle)


async def falls(user: User, _plain: PlainProducer, id: str) -> None:
    """A long activity that loses its run."""
    user.expect(id, "terminated")
    handle = await user.start(flows.climber, (10_000, 9_999.0), id)
    await user.pause(8.0)
    await user.ask(lambda: handle.terminate("enough", timeout_s=5.0))
    await user.end(handle)


async def limits(user: User, _plain: PlainProducer, id: str) -> None:
    """An activity that has less time than it needs; what is there before its owner looks at the clock counts."""
    user.expect(id, "completed", lambda told: told in {"TimeoutError", "done"})
    handle = await user.start(flows.late, 10, id)
    await user.end(handle)


async def failures(user: User, _plain: PlainProducer, id: str) -> None:
    count = user.random.randrange(0, 7)
    user.expect(
        id,
        "completed",
        lambda told: told in ({str(count + 1)} if count < 5 else {"ConnectionError"}),
    )
    handle = await user.start(flows.stubborn, count, id)
    await user.end(handle)


async def purges(user: User, _plain: PlainProducer, id: str) -> None:
    """Run, delete, and run again under the same ID; results of the former run may still be on their way."""
    for _ in range(user.random.choice([1, 2, 3])):
        patience = user.random.choice([0.1, 2.0])
        user.expect(id, "completed", lambda word: word == "gave up")
        handle = await user.start(flows.waiter, patience, id)
        await user.end(handle)
        await user.ask(lambda handle=handle: handle.purge(timeout_s=5.0))  # type: ignore[misc]
        user.facts.purged.append((id, handle.run_id))
        user.facts.expected.pop(id)
    if user.random.random() < 0.3:
        # Deleted with an activity under way: its result finds nobody.
        handle = await user.start(flows.chain, 30, id)
        await user.pause(2.0)
        await user.ask(lambda: handle.terminate("enough", timeout_s=5.0))
        await user.end(handle)
        await user.ask(lambda: handle.purge(timeout_s=5.0))
        user.facts.purged.append((id, handle.run_id))
    if user.random.random() < 0.7:
        await _last_of_an_id(user, id)


async def replacements(user: User, _plain: PlainProducer, id: str) -> None:
    """Open runs are replaced by new ones, with activities under way."""
    for _ in range(user.random.choice([1, 2, 3])):
        await user.start(flows.chain, 8, id, on_conflict="terminate_existing")
        await user.pause(1.0)
    await _last_of_an_id(user, id)


async def _last_of_an_id(user: User, id: str) -> None:
    length = user.random.randrange(1, 6)
    user.expect(id, "completed", lambda total: total == sum(range(length)))
    handle = await user.start(flows.chain, length, id, on_conflict="terminate_existing")
    await user.end(handle)


async def long_histories(user: User, _plain: PlainProducer, id: str) -> None:
    length = user.random.choice([15, 40])
    user.expect(id, "completed", lambda size: size == length * 1500)
    handle = await user.start(flows.long, length, id)
    await user.end(handle)


async def oversizes(user: User, _plain: PlainProducer, id: str) -> None:
    size = user.random.choice([10, flows.TOO_LARGE])
    fits = size < flows.TOO_LARGE
    user.expect(id, "completed", lambda told: (told == str(size)) if fits else not told.isdigit())
    handle = await user.start(flows.oversized, size, id)
    await user.end(handle)


async def errors(user: User, _plain: PlainProducer, id: str) -> None:
    user.expect(id, "failed")
    handle = await user.start(flows.failing, 12, id)
    await user.end(handle)


async def novelties(user: User, plain: PlainProducer, id: str) -> None:
    """Perhaps blocked for a while, with signals that come meanwhile, and somebody who asks to try again."""
    count = user.random.randrange(1, 6)
    user.expect(id, "completed", lambda got: sorted(got) == list(range(count)))
    handle = await user.start(flows.novelty, count, id)
    for number in range(count):
        await user.pause(2.0)
        await plain.signal(id, "number", number, f"{id}/{number}")
        if user.random.random() < 0.2:
            await user.ask(lambda: handle.unblock(timeout_s=5.0))
    await user.end(handle)


async def suspensions(user: User, plain: PlainProducer, id: str) -> None:
    """Held and let go again while activities run, timers are due and signals come."""
    count = user.random.randrange(1, 6)
    if user.random.random() < 0.5:
        user.expect(id, "completed", lambda total: total == sum(range(8)))
        handle: Handle[object] = user.client.handle(id)
        await user.start(flows.chain, 8, id)
    else:
        user.expect(id, "completed", lambda got: sorted(got) == list(range(count)))
        handle = await user.start(flows.inbox, count, id)
        for number in range(count):
            await plain.signal(id, "number", number, f"{id}/{number}")
    for _ in range(user.random.choice([1, 2])):
        await user.pause(2.0)
        await user.ask(lambda: handle.suspend("to look at it", timeout_s=5.0))
        await user.pause(4.0)
        await user.ask(lambda: handle.resume(timeout_s=5.0))
    await user.end(handle)


async def changes(user: User, _plain: PlainProducer, id: str) -> None:
    """Code that is changed under its runs, perhaps back and forth: every step goes the same way."""
    length = user.random.randrange(1, 7)
    total = sum(range(length))
    user.expect(id, "completed", lambda told: told in ([total, 0], [total, length]))
    handle = await user.start(flows.patching, length, id)
    await user.end(handle)


async def announcements(user: User, _plain: PlainProducer, id: str) -> None:
    """Records on a topic of the user's own; some runs are terminated in the middle."""
    count = user.random.randrange(1, 9)
    handle = await user.start(flows.announcer, count, id)
    if user.random.random() < 0.3:
        await user.pause(2.0)
        await user.ask(lambda: handle.terminate("enough", timeout_s=5.0))
        return
    user.expect(id, "completed", lambda said: said == 1 + count + count // 2)
    await user.end(handle)


async def entries(user: User, plain: PlainProducer, id: str) -> None:
    """Updates, some rejected, beside signals that are handled; perhaps with the run held for a while."""
    handle = await user.start(flows.ledger, None, id)
    numbers = range(user.random.randrange(1, 12))
    entered: list[int] = []
    user.expect(
        id,
        "completed",
        lambda told: sorted(told[0]) == sorted(entered) and sorted(told[1]) == [*numbers],
    )

    async def enter(number: int) -> None:
        await user.pause(4.0)
        await plain.signal(id, "note", number, f"{id}/note-{number}")
        if await user.update(handle, "enter", number, f"{id}/{number}") is not None:
            entered.append(number)

    async def hold() -> None:
        await user.pause(4.0)
        await user.ask(lambda: handle.suspend("to look at it", timeout_s=5.0))
        await user.pause(8.0)
        await user.ask(lambda: handle.resume(timeout_s=5.0))

    held = hold() if user.random.random() < 0.3 else asyncio.sleep(0)
    await asyncio.gather(held, *(enter(number) for number in numbers))
    for number in numbers:  # those of plain producers may still be lost
        await user.signal(handle, "note", number, f"{id}/note-{number}")
    assert await user.signal(handle, "close", None, f"{id}/close")
    await user.end(handle)


async def families(user: User, _plain: PlainProducer, id: str) -> None:
    width = user.random.choice([1, 3, 8])
    user.expect(id, "completed", lambda total: total == sum(range(width)) + width + 1)
    handle = await user.start(flows.family, width, id)
    await user.end(handle)


async def insistences(user: User, _plain: PlainProducer, id: str) -> None:
    """A child that is run again and again."""
    attempts = user.random.choice([1, 2, 4])
    user.expect(id, "completed", lambda told: told == f"ArithmeticError {attempts}")
    user.expect(f"{id}-child", "failed")
    handle = await user.start(flows.insisting, attempts, id)
    await user.end(handle)


_LEFT = {"terminate": "terminated", "cancel": "cancelled", "abandon": "completed"}


async def guardians(user: User, _plain: PlainProducer, id: str) -> None:
    """What becomes of a child when its parent ends, in one way or another."""
    parent_close = user.random.choice(sorted(_LEFT))
    gives_up = user.random.random() < 0.2
    is_terminated = user.random.random() < 0.5
    user.expect(id, "terminated" if is_terminated else "completed")
    handle = await user.start(flows.guardian, (parent_close, gives_up), id)
    child: Handle[object] = user.client.handle(f"{id}-child")
    while not await user.ask(lambda: child.status(timeout_s=5.0)):
        await user.pause(1.0)
    if is_terminated:
        await user.ask(lambda: handle.terminate("enough", timeout_s=5.0))
    else:
        assert await user.signal(handle, "go", "now", f"{id}/go")
    await user.end(handle)
    if not gives_up:
        user.expect(f"{id}-child", _LEFT[parent_close])
    if parent_close == "abandon":
        is_taken = await user.signal(child, "go", "now", f"{id}-child/go")
        assert is_taken or gives_up  # which the parent may not have come to
    await user.end(child)


async def tellers(user: User, _plain: PlainProducer, id: str) -> None:
    """Signals from workflow to workflow: each is received once, in its order."""
    count = user.random.randrange(1, 9)
    user.expect(f"{id}-inbox", "completed", lambda got: got == list(range(count)))
    user.expect(id, "completed", lambda told: told == count)
    inbox = await user.start(flows.inbox, count, f"{id}-inbox")
    handle = await user.start(flows.teller, (inbox.id, count), id)
    await user.end(handle)
    await user.end(inbox)


async def relays(user: User, plain: PlainProducer, id: str) -> None:
    """Signals that race with a workflow which continues as a new run all the time, and is held now and then."""
    count = user.random.randrange(1, 25)
    user.expect(id, "completed", lambda got: sorted(got) == list(range(count)))
    state = {"count": count, "each": user.random.choice([1, 1, 2, 5]), "got": []}
    handle = await user.start(flows.relay, state, id)

    async def send(number: int) -> None:
        for _ in range(user.random.choice([1, 1, 2])):
            await user.pause(3.0)
            if user.random.random() < 0.5:
                await user.signal(handle, "number", number, f"{id}/{number}")
            else:
                await plain.signal(id, "number", number, f"{id}/{number}")

    async def hold() -> None:
        await user.pause(3.0)
        await user.ask(lambda: handle.suspend("to look at it", timeout_s=5.0))
        await user.pause(2.0)
        await user.ask(lambda: handle.resume(timeout_s=5.0))

    holds = [hold()] if user.random.random() < 0.3 else []
    await asyncio.gather(*(send(number) for number in range(count)), *holds)
    await user.end(user.anybody(handle))


async def rivals(user: User, _plain: PlainProducer, id: str) -> None:
    """Two starts of one ID: one of them is refused, and nothing happens twice."""
    user.expect(id, "completed", lambda word: word == "now")

    async def start() -> bool:
        try:
            await user.start(flows.waiter, 10_000.0, id)
        except AlreadyStartedError:
            return False
        return True

    if sorted(await asyncio.gather(start(), start())) != [False, True]:
        user.facts.surprises.append(f"{id}: not just one of two starts was confirmed")
    handle: Handle[object] = user.client.handle(id)
    await user.signal(handle, "go", "now", f"{id}/go")
    await user.end(handle)


async def plain_starts(user: User, plain: PlainProducer, id: str) -> None:
    """Started by a producer of somebody else's, written twice, perhaps on a wrong partition."""
    length = user.random.randrange(1, 5)
    user.expect(id, "completed", lambda total: total == sum(range(length)))
    value = {"kind": "start", "workflow": "chain", "request_id": f"{id}-once", "input": length}
    for _ in range(2):
        await plain.write(id.encode(), msgspec.json.encode(value))
    handle: Handle[object] = user.client.handle(id)
    while not await user.ask(lambda: handle.status(timeout_s=5.0)):
        await user.pause(1.0)
    await user.end(handle)


async def garbage(user: User, plain: PlainProducer, id: str) -> None:
    """Records that nobody can understand, and signals to nobody: put aside, and nothing else."""
    values = [b"{", b"\xff\xfe", b'{"kind":"unheard of"}', b"", None, b'{"signal":5}']
    await plain.write(id.encode(), user.random.choice(values), wrong=False)
    await plain.signal(f"{id}-nobody", "number", 1, f"{id}/1")
    if user.random.random() < 0.2:
        await plain.write(user.random.choice([None, b"", b"\xff"]), b'{"signal":"x"}')


WORKLOADS: tuple[Workload, ...] = (
    chains, fans, bursts, naps, cancellations, terminations, deadlines, races, climbs, climbs, falls, limits, failures,
    purges, replacements, long_histories, oversizes, errors, novelties, suspensions, changes, announcements, entries,
    relays,
    rivals, plain_starts, garbage, families, families, insistences, guardians, guardians, tellers,
)  # fmt: skip
