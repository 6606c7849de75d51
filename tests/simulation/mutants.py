"""Rules of Weft, broken on purpose, one at a time: a simulator that misses them would miss everything else too.

Some are bugs that it found once, put back: `test_regressions.py` says where each of them shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import msgspec

from weft.client import Handle, _end_request, _handle
from weft.client._updates import UpdateRequest
from weft.core import Decision, Run
from weft.core import _children as children
from weft.core import _decide as deciding
from weft.errors import CommitUnknownError
from weft.records import AttemptHeartbeat, SignalReceived, SignalWorkflow
from weft.worker import _mailbox as mailbox
from weft.worker import _turn
from weft.worker._commits import Commits
from weft.worker._messenger import Messenger
from weft.worker._owner import PartitionOwner
from weft.worker._progress import ProgressBook
from weft.worker._queries import Queries
from weft.worker._results import Results
from weft.worker._serving import Serving
from weft.worker._shelf import Shelf
from weft.worker._takeover import Takeover
from weft.worker._updates import Updates
from weft.worker._watch import AttemptWatch
from weft.workflow import Machine
from weft.workflow._signals import Untaken


def _reply_first(original: Callable[..., None]) -> Callable[..., None]:
    def commit(self: Any, batch: Any, member: Any) -> None:
        replies, batch.replies = batch.replies, []
        for to, reply in replies:
            self._reply(to, reply)
        original(self, batch, member)

    return commit


def _no_generation(original: Callable[..., None]) -> Callable[..., None]:
    """As a client whose commits carry no generation: the offsets are added, whoever owns the partitions now."""

    def commit(self: Any, batch: Any, member: Any) -> None:
        original(self, batch, replace(member, generation=-1, member_id=""))

    return commit


def _always_patched(original: Callable[..., bool]) -> Callable[..., bool]:
    """Whoever asks takes the new way, whatever its history says."""

    def patched(self: Machine, patch_id: str) -> bool:
        original(self, patch_id)
        return True

    return patched


def _any_attempt(_original: Callable[..., Any]) -> Callable[..., Any]:
    def attempt(run: Run, record: Any) -> Any:
        activity = run.activities.get(record.activity_id)
        return (
            activity if record.run_id == run.run_id and activity and not activity.waiting else None
        )

    return attempt


def _any_run(_original: Callable[..., None]) -> Callable[..., None]:
    """A purged or replaced run leaves no fence: late results of it go to whoever has its ID now."""

    def take(self: Any, cell: Any, result: Any, batch: Any, now_ms: int) -> None:
        if cell.ended:
            return
        if isinstance(result, AttemptHeartbeat):
            return
        result = msgspec.structs.replace(result, run_id=cell.run_id)
        self._runs.take(cell, "results", result, batch, now_ms)

    return take


def _no_barrier(original: Callable[..., Any]) -> Callable[..., Any]:
    """Served as soon as nothing more is there to be read, own claim or not."""

    def read(self: Any, records_max: int, timeout_s: float) -> Any:
        before = self.record_count
        done = original(self, records_max, 0.0)
        if self.record_count == before:
            for number in list(self._pending):
                partition = self._pending.pop(number)
                partition.loaded()
                done.append(partition)
        return done

    return read


def _guess(original: Callable[..., None]) -> Callable[..., None]:
    """An undecided commit is taken for one that happened."""

    def recover(self: Any, error: Any) -> None:
        if not isinstance(error, CommitUnknownError):
            original(self, error)
            return
        self._commits.drop()
        self._commits.open()

    return recover


def _every_signal(_original: Callable[..., Any]) -> Callable[..., Any]:
    def signal(run: Run, record: Any, now_ms: int, _draw: float) -> Decision:
        event_id = run.last_event_id + 1
        return Decision(
            (SignalReceived(event_id, now_ms, record.signal, record.payload, record.id),)
        )

    return signal


def _every_update(original: Callable[..., str]) -> Callable[..., str]:
    """An update that comes again is another one."""

    def take(self: Any, cell: Any, request: Any, batch: Any, now_ms: int) -> str:
        if cell.run is not None and request.id in cell.run.updates:
            request = msgspec.structs.replace(
                request, id=f"{request.id}, again {batch.record_count}"
            )
        return original(self, cell, request, batch, now_ms)

    return take


def _any_rejection(_original: Callable[..., None]) -> Callable[..., None]:
    """The first rejection counts, whatever else was sent meanwhile."""

    def take_rejection(self: Any, reply: Any) -> None:
        if reply.failure is not None:
            self._finish(reply)

    return take_rejection


def _no_watch(_original: Callable[..., Any]) -> Callable[..., Any]:
    """A new owner does not know which attempts others hold."""
    return lambda _self, _workflow_id, _run: None


def _progress_forgotten(_original: Callable[..., Any]) -> Callable[..., Any]:
    """Kept in memory alone."""

    def settle(self: Any, workflow_id: str, _run: Any) -> Any:
        self.changed.pop(workflow_id, None)
        return iter(())

    return settle


def _nothing_handed_on(_original: Callable[..., Any]) -> Callable[..., Any]:
    """What a run has not taken ends with it."""
    return lambda _self: []


def _looked_at_or_not(_original: Callable[..., Any]) -> Callable[..., Any]:
    """A signal that a future was given counts as taken."""
    return lambda _self, _future, _signal: None


def _ids_forgotten(original: Callable[..., Any]) -> Callable[..., Any]:
    """Each run of a chain knows the IDs of its own signals only."""

    def opening_after(*arguments: Any, **options: Any) -> Any:
        started, *signals = original(*arguments, **options)
        return [msgspec.structs.replace(started, signal_ids=()), *signals]

    return opening_after


def _nothing_is_fresh(_original: float) -> float:
    return 0.0


def _always_decided(original: Callable[..., None]) -> Callable[..., None]:
    def take_head(self: Any, head: Any, run_id: str, **_decided: bool) -> None:
        original(self, head, run_id, is_decided=True)

    return take_head


def _never_received(_original: Callable[..., Any]) -> Callable[..., Any]:
    async def has_received(_self: Any, _signal_id: str) -> bool:
        return False

    return has_received


def _needs_no_proof(original: Callable[..., None]) -> Callable[..., None]:
    def answer(self: Any, workflow_id: str, query: Any, batch: Any) -> None:
        original(self, workflow_id, query, batch)
        batch.needs_proof = False

    return answer


def _ready_with_partitions_only(_original: property) -> property:
    return property(
        lambda self: bool(self._assigned) and len(self._serving.partitions) == len(self._assigned)
    )


def _outside_of_it(original: Callable[..., None]) -> Callable[..., None]:
    """What workflows publish is written on its own, as any producer would."""

    def commit(self: Any, batch: Any, member: Any) -> None:
        for topic, partition, key, value, headers in batch.writes:
            if topic in batch.published:
                self._replies.produce(topic, partition, key, value, headers)
        batch.writes = [write for write in batch.writes if write[0] not in batch.published]
        original(self, batch, member)

    return commit


def _all_early(original: Callable[..., Any]) -> Callable[..., Any]:
    """What follows from a result is begun before the result is committed."""

    def take_turns(self: Any, records: Any) -> Any:
        batch = original(self, records)
        self._begin_early(batch)
        return batch

    return take_turns


def _first_body(original: Callable[..., Any]) -> Callable[..., Any]:
    """What is read back is what was read back the first time, whatever has been written since."""

    def body(self: Any, workflow_id: str, records: Any) -> Any:
        first: dict[str, Any] = self.__dict__.setdefault("first", {})
        return first.setdefault(workflow_id, original(self, workflow_id, records))

    return body


def _offset_kept(_original: Callable[..., None]) -> Callable[..., None]:
    """A new head is taken to lie where the last one did, until it is known where it lies."""
    return lambda _self, _workflow_id: None


def _any_run_of_a_child(_original: Callable[..., Any]) -> Callable[..., Any]:
    """What was said of a former run of a child is taken for its present one."""

    def find(run: Run, message: Any) -> Any:
        return run.children.get(message.child_id) if message.run_id == run.run_id else None

    return find


def _started_again(_original: Callable[..., Any]) -> Callable[..., Any]:
    """Whoever asks twice for a child has two."""
    return lambda _known, _asked: False


def _left_alone(_original: Callable[..., Any]) -> Callable[..., Any]:
    """A parent's end is its own affair."""
    return lambda _self, _run, _event, _batch: None


MUTANTS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "reply_before_commit": (Commits, "_commit", _reply_first),
    "no_generation_in_commit": (Commits, "_commit", _no_generation),
    "result_of_any_attempt": (deciding, "_attempt", _any_attempt),
    "result_of_any_run": (Results, "take", _any_run),
    "no_barrier_at_takeover": (Takeover, "read", _no_barrier),
    "undecided_commit_is_guessed": (PartitionOwner, "_recover", _guess),
    "leases_forgotten_at_takeover": (AttemptWatch, "begin", _no_watch),
    "progress_kept_in_memory": (ProgressBook, "settle", _progress_forgotten),
    "published_outside_the_transaction": (Commits, "_commit", _outside_of_it),
    "signals_lost_by_continuing": (Machine, "unconsumed", _nothing_handed_on),
    "given_signals_lost_by_continuing": (Untaken, "give", _looked_at_or_not),
    "signal_ids_forgotten_by_continuing": (_turn, "opening_after", _ids_forgotten),
    "inline_before_its_cause": (Serving, "take_turns", _all_early),
    "older_body_read_back": (Shelf, "body", _first_body),
    "offset_of_an_older_head": (Shelf, "rewritten", _offset_kept),
    "signals_applied_twice": (deciding, "_signal", _every_signal),
    "end_of_any_run_of_a_child": (children, "_open", _any_run_of_a_child),
    "child_started_twice": (mailbox, "_was_started", _started_again),
    "children_left_alone": (Messenger, "_close", _left_alone),
    "updates_taken_up_twice": (Updates, "take", _every_update),
    "rejection_of_any_copy": (UpdateRequest, "_take_rejection", _any_rejection),
    "patch_taken_by_old_runs": (Machine, "patched", _always_patched),
}
"""(where, what, how it is broken) by name."""

OLD_BUGS: dict[str, tuple[tuple[Any, str, Callable[[Any], Any]], ...]] = {
    "run_not_shown_yet_is_gone": (
        (_end_request, "FRESH_S", _nothing_is_fresh),
        (_handle, "FRESH_S", _nothing_is_fresh),
        (_end_request.EndRequest, "take_head", _always_decided),
    ),
    "run_behind_an_undecided_one_is_gone": (
        (_end_request.EndRequest, "take_head", _always_decided),
    ),
    "repeated_signal_is_refused": ((Handle, "_has_received", _never_received),),
    "zombie_knows_of_nothing": ((Queries, "answer", _needs_no_proof),),
    "spare_worker_is_never_ready": ((PartitionOwner, "ready", _ready_with_partitions_only),),
}
"""The same for bugs that were found and mended."""

_FOR_GOOD = ExitStack()


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Break one rule for as long as this lasts."""
    with ExitStack() as stack:
        for owner, attribute, breaking in OLD_BUGS.get(name) or (MUTANTS[name],):
            mutant = breaking(getattr(owner, attribute))
            if owner is deciding and attribute == "_signal":
                stack.enter_context(patch.dict(deciding._DECISIONS, {SignalWorkflow: mutant}))
            else:
                stack.enter_context(patch.object(owner, attribute, mutant))
        yield


def break_for_good(name: str | None) -> None:
    """For a process that does nothing else."""
    if name is not None:
        _FOR_GOOD.enter_context(broken(name))
