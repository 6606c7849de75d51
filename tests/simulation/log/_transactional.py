"""The transactional producer, with librdkafka's ways: records are sent in the background, errors surface late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tests.simulation.log import _menu
from tests.simulation.log._answers import FENCED, STALE_MEMBER, Refusal, RefusedError
from tests.simulation.log._consumer import SimulatedMember
from tests.simulation.log._losses import ABORT_LOSSES, COMMIT_LOSSES, OFFSETS_LOSSES, Loss, drawn
from tests.simulation.log._network import Connection, call
from tests.simulation.log._sender import TransactionalSender
from weft.errors import (
    CommitUnknownError,
    FencedError,
    LogError,
    LogUnavailableError,
    UsageError,
    WeftError,
)
from weft.log import GroupMember, Headers, OffsetCallback, TopicPartition

if TYPE_CHECKING:
    from tests.simulation.log._cluster import Cluster

_SEND_OFFSETS_TIMEOUT_S = 5.0


class SimulatedTransactionalProducer:
    """Implements `weft.log.TransactionalProducer`, as the Kafka backend does.

    A stale generation leaves a transaction that can be aborted; after any other error every further call raises that
    error again.
    """

    def __init__(
        self, cluster: Cluster, connection: Connection, transactional_id: str, timeout_s: float
    ) -> None:
        self.transactional_id = transactional_id
        self.connection = connection
        self._cluster = cluster
        self._coordinator = cluster.transactions
        self._timeout_s = timeout_s
        self._sender: TransactionalSender | None = None
        self._open = False
        self._closed = False
        self._spent: WeftError | None = None
        self._stale: LogError | None = None
        """Why the open transaction can only be aborted."""

    @call
    def fence(self, timeout_s: float) -> None:
        """Waits until what the former holder left open is aborted everywhere."""
        self._check_not_spent()
        connection = self.connection
        deadline_s = connection.now + timeout_s
        if connection.network.faults.fires(_menu.FENCE_LOST):
            raise self._fence_failed(deadline_s)
        try:
            producer_id, epoch = self._take(deadline_s)
        except RefusedError:
            raise self._fence_failed(deadline_s) from None
        if connection.network.faults.fires(_menu.FENCE_ANSWER_LOST):
            raise self._fence_failed(deadline_s)
        connection.travel()
        self._sender = TransactionalSender(
            self._cluster, connection, self.transactional_id, producer_id, epoch
        )

    def _take(self, deadline_s: float) -> tuple[int, int]:
        coordinator = self._coordinator
        self.connection.ask(coordinator.availability, deadline_s)
        while True:
            try:
                return coordinator.take(self.transactional_id, self._timeout_s)
            except RefusedError:
                left_s = deadline_s - self.connection.now
                if left_s <= 0:
                    raise
                coordinator.holder(self.transactional_id).completed.wait(left_s)

    def _fence_failed(self, deadline_s: float) -> LogError:
        self.connection.scheduler.sleep(max(0.0, deadline_s - self.connection.now))
        return LogUnavailableError(
            f"Transactional ID {self.transactional_id} could not be taken on {self._cluster.name} in time."
        )

    def begin(self) -> None:
        self.connection.check()
        self._check_not_spent()
        if self._sender is None:
            raise UsageError(
                f"Transactional producer {self.transactional_id} must call fence() before its first begin()."
            )
        if self._open:
            raise UsageError(
                f"Transactional producer {self.transactional_id} has a transaction open already."
            )
        self._check_sender()
        self._open = True

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_offset: OffsetCallback | None = None,
    ) -> None:
        """Takes no time: what the brokers say to it comes with a later call."""
        self.connection.check()
        sender = self._opened()
        self._cluster.topics.check_size(topic, key, value, headers)
        found = self._cluster.topics.partition(topic, partition)
        self._check_sender()
        if self._stale is not None:
            raise self._stale
        sender.add(found, (key, value, tuple(headers)), on_offset)

    @call
    def send_offsets(self, next_offsets: Mapping[TopicPartition, int], member: GroupMember) -> None:
        """Raises `FencedError` when the generation is stale: `abort`, and take the partitions up anew."""
        sender = self._opened()
        if not isinstance(member, SimulatedMember):
            raise UsageError("send_offsets needs the member() of a group consumer of the same log.")
        if self._stale is not None:
            raise self._stale
        what = "could not add the consumed offsets to its transaction"
        deadline_s = self.connection.now + _SEND_OFFSETS_TIMEOUT_S
        sender.has_requests = True
        loss = drawn(self.connection.network, OFFSETS_LOSSES)
        if loss is not None and not loss.arrives:
            raise self._unknown(what, deadline_s)
        self._carry_out(
            lambda: self._offsets_arrive(sender, next_offsets, member, deadline_s), what, deadline_s
        )
        if loss is not None:
            raise self._unknown(what, deadline_s)
        self.connection.travel()

    def _offsets_arrive(
        self,
        sender: TransactionalSender,
        next_offsets: Mapping[TopicPartition, int],
        member: SimulatedMember,
        deadline_s: float,
    ) -> None:
        connection, coordinator = self.connection, self._coordinator
        group = self._cluster.group(member.group)
        holder = coordinator.holder(self.transactional_id)
        connection.ask(coordinator.availability, deadline_s)
        while True:
            try:
                coordinator.add(self.transactional_id, sender.epoch, groups=[group.offsets])
                break
            except RefusedError as error:
                left_s = deadline_s - connection.now
                if error.refusal is not Refusal.CONCURRENT or left_s <= 0:
                    raise
            holder.completed.wait(left_s)
        connection.ask(group.availability, deadline_s)
        coordinator.verify_offsets(self.transactional_id, sender.epoch, group.offsets)
        if member.generation >= 0:  # Kafka takes offsets from clients that know of no generation
            group.check_proof(member.member_id, member.instance_id, member.generation)
        group.offsets.add(sender.producer_id, next_offsets)

    @call
    def commit(self, timeout_s: float) -> None:
        sender = self._opened()
        if self._stale is not None:
            raise self._stale
        what = f"did not commit its transaction within {timeout_s:g} s"
        deadline_s = self.connection.now + timeout_s
        if not sender.wait_until_sent(deadline_s):
            raise self._unknown(what, deadline_s)
        self._check_sender()
        if sender.has_requests:
            self._end(sender, what, deadline_s, committed=True)
        self._finish(sender)
        sender.tell_offsets()

    @call
    def abort(self, timeout_s: float) -> None:
        """Does nothing when no transaction is open."""
        self._check_not_spent()
        if not self._open:
            return
        sender = self._opened()
        what = f"did not abort its transaction within {timeout_s:g} s"
        deadline_s = self.connection.now + timeout_s
        sender.purge()
        if not sender.wait_until_sent(deadline_s):
            raise self._unknown(what, deadline_s)
        self._check_sender()
        if sender.has_requests:
            self._end(sender, what, deadline_s, committed=False)
        self._finish(sender)

    def _end(
        self, sender: TransactionalSender, what: str, deadline_s: float, *, committed: bool
    ) -> None:
        epoch = sender.epoch
        connection, coordinator = self.connection, self._coordinator

        def arrive(is_committed: bool = committed) -> None:
            coordinator.end(self.transactional_id, epoch, committed=is_committed)

        loss = drawn(connection.network, COMMIT_LOSSES if committed else ABORT_LOSSES)
        if loss is not None:
            self._lose(loss, arrive)
            raise self._unknown(what, deadline_s)

        def ask() -> None:
            connection.ask(coordinator.availability, deadline_s)
            arrive()

        self._carry_out(ask, what, deadline_s)
        connection.travel()

    def _lose(self, loss: Loss, arrive: Callable[..., None]) -> None:
        """Let the request go its own way, without an answer."""

        def late() -> None:
            try:
                if loss.fault == _menu.COMMIT_ABORTED:
                    arrive(False)
                else:
                    arrive()
            except RefusedError:
                pass  # nobody hears of it

        if loss.arrives:
            network = self.connection.network
            delay_s = network.latency_s()
            if loss.delay_s_max:
                delay_s = network.long_s(0.001, loss.delay_s_max)
            network.timers.after(delay_s, late)

    def _carry_out(self, function: Callable[[], None], what: str, deadline_s: float) -> None:
        try:
            function()
        except RefusedError as error:
            if error.refusal in FENCED:
                failure = FencedError(
                    f"Transactional producer {self.transactional_id} {what}: {error}. Another owner took over."
                )
                if error.refusal in STALE_MEMBER:
                    self._stale = failure
                else:
                    self._spent = failure
                raise failure from None
            raise self._unknown(f"{what}: {error}", deadline_s) from None

    def _unknown(self, what: str, deadline_s: float) -> LogError:
        """The producer is spent. Some brokers say so at once, others let the client wait in vain."""
        connection = self.connection
        left_s = max(0.0, deadline_s - connection.now)
        if connection.network.random.random() < 0.5:
            left_s = min(left_s, connection.network.random.uniform(0.0, 1.0))
        connection.scheduler.sleep(left_s)
        self._spent = CommitUnknownError(
            f"Transactional producer {self.transactional_id} {what}. It may have been committed or not."
        )
        return self._spent

    def _finish(self, sender: TransactionalSender) -> None:
        sender.has_requests = False
        self._open = False
        self._stale = None

    def _opened(self) -> TransactionalSender:
        self._check_not_spent()
        if not self._open or self._sender is None:
            raise UsageError(
                f"Transactional producer {self.transactional_id} has no open transaction; call begin() first."
            )
        return self._sender

    def _check_sender(self) -> None:
        """Raises what the brokers said to records that were sent."""
        assert self._sender is not None, "fence() made it"
        if self._sender.error is not None:
            self._spent = self._sender.error
            raise self._spent

    def _check_not_spent(self) -> None:
        if self._spent is not None:
            raise type(self._spent)(str(self._spent))

    @call
    def close(self) -> None:
        """An open transaction stays undecided until its ID is taken again (`fence`), or it times out."""
        if self._closed:
            return
        self._closed = True
        self._open = False
        self._spent = UsageError(
            f"Transactional producer {self.transactional_id} was used after it was closed."
        )
        if self._sender is not None:
            self._sender.close()
