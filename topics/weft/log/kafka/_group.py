"""A member of a consumer group that owns the same partition numbers on several topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from weft.errors import FencedError, InvariantViolation, LogError, LogUnavailableError, UsageError
from weft.log._api import FROM_START, AssignmentListener, LogRecord
from weft.log._api import TopicPartition as TopicAndPartition
from weft.log.kafka._absence import AbsenceWatch
from weft.log.kafka._admin import KafkaAdmin
from weft.log.kafka._errors import kafka_error, log_error, undecided_error
from weft.log.kafka._flood import FLOOD_PAUSE_S, Ends, Flood
from weft.log.kafka._orphans import OrphanWatch
from weft.log.kafka._positions import starting_points, wake
from weft.log.kafka._reach import Reach
from weft.log.kafka._records import fenced_error, first_error, records_of
from weft.log.kafka._settings import Settings, logger
from weft.log.kafka._transaction import KafkaMember
from weft.log.kafka._watched import WatchedCalls

_STALLED_S = 0.5
_LOOKUP_TIMEOUT_S = 10.0
_LOOK_TIMEOUT_S = 2.0
_OFFSETS_PATIENCE_S = 20.0
"""How long an assignment waits for its committed offsets, with the listener's help, before it fails."""
_LEAVE_TIMEOUT_S = 10.0
_METADATA_PREFIX = b"CGMDv2:"
"""How the library writes down a membership: this, the generation (4 bytes), group, member ID, instance ID."""


class KafkaGroupConsumer:
    """Implements `weft.log.GroupConsumer`.

    An error that the listener raises comes out of `poll` or `close`, and ends this consumer: records may have been
    taken from the client that nobody has seen, so every further call but `close` raises it again. But the group is
    joined anew when the log could not be asked where the partitions start, when the client says that another process
    has its instance ID and that is not so, and when it is no member for long.
    """

    def __init__(
        self,
        settings: Settings,
        new_admin: Callable[[], KafkaAdmin],
        name: str,
        topics: Sequence[str],
        partition_count: int,
        listener: AssignmentListener,
    ) -> None:
        self._name = name
        self._partition_count = partition_count
        self._new_admin = new_admin
        self._group = str(settings["group.id"])
        self._topics = tuple(topics)
        self._listener = listener
        self._owned: set[int] = set()
        self._paused: set[int] = set()
        self._given_up: set[int] = set()
        """In the present call of `poll`: what was read from these before is not ours to hand out any more."""
        self._broken: BaseException | None = None
        self._error: LogError | None = None
        self._flood = Flood(len(topics))
        self._closing = False
        self._closed = False
        self._fenced: FencedError | None = None
        """What the client says; it may be wrong."""
        self._must_join_anew = False
        self._leaving = False
        self._reach = Reach(name)
        self._absence = AbsenceWatch()
        self._settings = settings | {"error_cb": self._reach.note}
        self._client = Consumer(self._settings, logger=logger)
        self._join()

    def _join(self) -> None:
        """For the first time, or with a new client."""
        self._subscribe()
        is_static = "group.instance.id" in self._settings
        self._orphans = OrphanWatch(self._is_whole) if is_static else None

    def _subscribe(self) -> None:
        self._client.subscribe(
            [self._topics[0]],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _join_anew(self) -> None:
        """With a new client: the old one believes that its assignment is done, or that it may never go on."""
        self._leave()
        left = sorted(self._owned)
        self._owned.clear()
        self._paused.clear()
        if left:
            self._listener.on_lost(left)
        self._client = Consumer(self._settings, logger=logger)
        self._leaving = False
        self._join()
        self._must_join_anew = False

    def _leave(self) -> None:
        """Close the client. It says nothing of partitions on the way, and one that hangs in it is left behind.

        librdkafka 2.16 sometimes waits for good for its own answer when it has partitions to give back after its
        session ran out without a coordinator (1 of 25 restarts of a lone broker under load).
        """
        self._leaving = True
        watched = WatchedCalls(f"weft-kafka-leave-{self._group}")
        try:
            watched.make(_LEAVE_TIMEOUT_S, self._client.close)
        except TimeoutError:
            logger.warning(
                "leaving group %s took longer than %g s; its client is left behind",
                self._group,
                _LEAVE_TIMEOUT_S,
            )
        finally:
            watched.close()

    def _look_at_fence(self, fenced: FencedError) -> None:
        """Join anew unless another process has this member's instance ID: then it raises `FencedError`.

        The client takes itself for fenced too when it lost touch with its coordinator for a session and is not polled
        at once when that is back: it forgets its member ID and goes on with heartbeats, which the coordinator takes for
        somebody else's (librdkafka issue 3437). Where three brokers serve, the coordinator may well be away for so long
        when one of them dies. A member that was really replaced still has its member ID.
        """
        if self._client.memberid():
            self._broken = fenced
            raise fenced
        logger.warning(
            "this member of group %s lost touch with it for a session, and joins it anew",
            self._group,
        )
        self._join_anew()
        self._fenced = None

    def _is_whole(self) -> bool | None:
        """Whether every partition has an owner."""
        try:
            assigned = self._new_admin().assigned(self._group, self._topics[0], _LOOK_TIMEOUT_S)
        except LogError as error:
            logger.info("%s", error)
            return None
        return None if assigned is None else len(assigned) == self._partition_count

    def _look_for_orphans(self) -> None:
        if self._orphans is None:
            return
        if self._orphans.finds_orphans():
            logger.warning(
                "partitions of group %s have had no owner for a while: leaving it and joining again",
                self._group,
            )
            self._client.unsubscribe()
            self._subscribe()
        elif self._orphans.is_over:
            self._orphans = None

    def _look_for_membership(self) -> None:
        if self._owned or self._client.memberid():
            self._absence.present()
        elif self._absence.is_too_long():
            logger.warning(
                "this process has been no member of group %s for a while: joining it anew",
                self._group,
            )
            self._must_join_anew = True

    def poll(self, records_max: int, timeout_s: float) -> list[LogRecord]:
        """Raises `FencedError` when another process joined with this member's instance ID; that does not pass."""
        self._check_usable()
        if self._fenced is not None:
            self._look_at_fence(self._fenced)
        if self._must_join_anew:
            self._join_anew()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self._look_for_orphans()
        try:
            messages = self._of_the_others(records_max) or self._taken(records_max, timeout_s)
            self._flood.note(messages, records_max)
        except KafkaException as exception:
            raise self._failure(kafka_error(exception), "Reading") from exception
        except LogUnavailableError:
            self._must_join_anew = True
            raise
        except BaseException as exception:
            self._broken = exception
            raise
        if not messages:
            self._reach.check(self._client, self._topics[0])
            self._look_for_membership()
            return []
        records = records_of(messages)
        if self._given_up:
            gone = self._given_up
            records = [record for record in records if record.partition not in gone]
        if len(records) < len(messages):
            self._note_error(first_error(messages, self._name), records)
        return records

    def _taken(self, records_max: int, timeout_s: float) -> list[Message]:
        first = self._client.poll(timeout_s)
        if first is None:
            return []
        self._given_up.clear()
        if records_max == 1:
            return [first]
        # `consume` waits for as many records as it is asked for, or the whole timeout: so none.
        return [first, *self._client.consume(records_max - 1, 0)]

    def _of_the_others(self, records_max: int) -> list[Message]:
        """What the other topics have, when one has filled the client's queue for a while: it is held back meanwhile."""
        flooding = self._flood.topic_to_hold_back()
        if not flooding:
            return []
        serving = sorted(self._owned - self._paused)
        ends = self._known_ends(flooding, serving)
        if self._flood.is_needless(ends):
            return []
        self._client.pause([TopicPartition(flooding, number) for number in serving])
        try:
            messages = self._taken(records_max, FLOOD_PAUSE_S)
            self._flood.note_others(messages, ends)
            return messages
        finally:
            still_serving = (self._owned - self._paused).intersection(serving)
            resumed = [TopicPartition(flooding, number) for number in still_serving]
            self._client.resume(resumed)
            wake(self._client, resumed)

    def _known_ends(self, flooding: str, serving: Sequence[int]) -> Ends:
        """Of the other topics' partitions, as the answers to fetches told them: nobody is asked."""
        places = [
            (topic, number) for topic in self._topics if topic != flooding for number in serving
        ]
        return {
            place: self._client.get_watermark_offsets(TopicPartition(*place), cached=True)[1]
            for place in places
        }

    def _note_error(self, error: LogError | None, records: Sequence[LogRecord]) -> None:
        """Raise it, unless there are records to hand out first."""
        if isinstance(error, FencedError):
            self._fenced = error
            if not records:
                self._look_at_fence(error)
        elif error is not None:
            if not records:
                raise error
            self._error = error

    def _on_assign(self, client: Consumer, assigned: list[TopicPartition]) -> None:
        numbers = sorted(one.partition for one in assigned)
        if not numbers or self._has_left(client):
            return
        wanted = [(topic, number) for number in numbers for topic in self._topics]
        committed = self._decided_offsets(wanted)
        offsets = {place: committed.get(place, FROM_START) for place in wanted}
        partitions = starting_points(self._client, offsets, _LOOKUP_TIMEOUT_S)
        self._client.incremental_assign(partitions)
        self._client.pause(partitions)
        self._owned.update(numbers)
        self._paused.update(numbers)
        self._listener.on_assigned(numbers)

    def _decided_offsets(self, wanted: Sequence[TopicAndPartition]) -> dict[TopicAndPartition, int]:
        """The committed offsets. As long as some are undecided, the listener is told which, every 500 ms."""
        deadline_s = time.monotonic() + _OFFSETS_PATIENCE_S
        while True:
            try:
                return self._committed(wanted, _STALLED_S)
            except LogUnavailableError:
                undecided = self._new_admin().undecided(self._group, wanted, _LOOKUP_TIMEOUT_S)
                if time.monotonic() > deadline_s:
                    if undecided:
                        raise self._undecided_error(undecided, _OFFSETS_PATIENCE_S) from None
                    raise
            if undecided:
                self._listener.on_stalled(sorted({number for _, number in undecided}))

    def _on_revoke(self, client: Consumer, revoked: list[TopicPartition]) -> None:
        numbers = self._owned_among(revoked)
        if numbers and not self._has_left(client):
            try:
                self._listener.on_revoked(numbers)
            finally:
                self._release(numbers)

    def _on_lost(self, client: Consumer, lost: list[TopicPartition]) -> None:
        numbers = self._owned_among(lost)
        if numbers and not self._has_left(client):
            self._release(numbers)
            self._listener.on_lost(numbers)

    def _has_left(self, client: Consumer) -> bool:
        """Whether it is on its way out, or left behind."""
        return self._leaving or client is not self._client

    def _owned_among(self, partitions: Iterable[TopicPartition]) -> list[int]:
        return sorted({one.partition for one in partitions} & self._owned)

    def _release(self, numbers: Sequence[int]) -> None:
        self._owned.difference_update(numbers)
        self._paused.difference_update(numbers)
        self._given_up.update(numbers)
        self._client.incremental_unassign(self._on_every_topic(numbers))

    def _on_every_topic(self, numbers: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in numbers for topic in self._topics]

    def resume(self, partitions: Sequence[int]) -> None:
        """Partitions not owned any more are passed over: a rebuild may end after its partition was revoked."""
        self._check_usable()
        numbers = self._paused.intersection(partitions)
        if numbers:
            self._paused -= numbers
            resumed = self._on_every_topic(numbers)
            self._client.resume(resumed)
            wake(self._client, resumed)

    def pause(self, partitions: Sequence[int]) -> None:
        """As `resume`, partitions not owned any more are passed over."""
        self._check_usable()
        numbers = self._owned.intersection(partitions) - self._paused
        if numbers:
            self._paused |= numbers
            self._client.pause(self._on_every_topic(numbers))

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Raises `UsageError` for a partition that is not owned, or a topic that the group does not read.

        `LogUnavailableError` for one that the client has lost, as the next `poll` will tell.
        """
        self._check_usable()
        if topic not in self._topics or partition not in self._owned:
            raise UsageError(
                f"seek: {topic}-{partition} is not this member's in group {self._group}."
            )
        points = starting_points(self._client, {(topic, partition): offset}, _LOOKUP_TIMEOUT_S)
        try:
            self._client.seek(points[0])
        except KafkaException as exception:
            if kafka_error(exception).code() == KafkaError._STATE:
                raise LogUnavailableError(
                    f"{topic}-{partition} of {self._name} is not read at present: the next poll tells who has it."
                ) from exception
            raise self._failure(
                kafka_error(exception), f"Going back to {topic}-{partition}@{offset}"
            ) from exception
        if partition not in self._paused:
            wake(self._client, points)

    def member(self) -> KafkaMember:
        """Raises `FencedError` while there is no generation: the broker would not check a proof without one."""
        self._check_usable()
        metadata = self._client.consumer_group_metadata()
        if not isinstance(metadata, bytes) or not metadata.startswith(_METADATA_PREFIX):
            raise InvariantViolation(
                "confluent-kafka writes a group membership in a form that this version of Weft does not know, so it "
                "cannot see the generation in it. Use the version of confluent-kafka that Weft was tested with."
            )
        start = len(_METADATA_PREFIX)
        generation = int.from_bytes(metadata[start : start + 4], "little", signed=True)
        if generation < 0 or not self._owned:
            raise FencedError(
                f"This process is no member of group {self._group} at present: it has lost its partitions, or has none "
                "yet. Nothing can be committed for them."
            )
        return KafkaMember(metadata)

    def commit(self, next_offsets: Mapping[TopicAndPartition, int]) -> None:
        self._check_usable()
        if not next_offsets:
            return
        offsets = [
            TopicPartition(topic, partition, offset)
            for (topic, partition), offset in next_offsets.items()
        ]
        what = f"Committing offsets of group {self._group}"
        try:
            done = self._client.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exception:
            raise self._failure(kafka_error(exception), what) from exception
        for one in done:
            if one.error is not None:
                raise self._failure(one.error, f"{what}, {one.topic}-{one.partition},")

    def committed(
        self, partitions: Sequence[TopicAndPartition], timeout_s: float
    ) -> dict[TopicAndPartition, int]:
        self._check_usable()
        try:
            return self._committed(partitions, timeout_s)
        except LogUnavailableError:
            undecided = self._new_admin().undecided(self._group, partitions, _LOOKUP_TIMEOUT_S)
            if undecided:
                raise self._undecided_error(undecided, timeout_s) from None
            raise

    def _undecided_error(
        self, undecided: Iterable[TopicAndPartition], seconds: float
    ) -> LogUnavailableError:
        numbers = sorted({number for _, number in undecided})
        return undecided_error(self._group, self._name, numbers, seconds)

    def _committed(
        self, partitions: Sequence[TopicAndPartition], timeout_s: float
    ) -> dict[TopicAndPartition, int]:
        wanted = [TopicPartition(topic, partition) for topic, partition in partitions]
        what = f"Reading the committed offsets of group {self._group}"
        try:
            found = self._client.committed(wanted, timeout_s)
        except KafkaException as exception:
            raise self._failure(kafka_error(exception), what) from exception
        for one in found:
            if one.error is not None:
                raise self._failure(one.error, f"{what}, {one.topic}-{one.partition},")
        return {(one.topic, one.partition): one.offset for one in found if one.offset >= 0}

    def _failure(self, error: KafkaError, what: str) -> LogError:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._fenced = fenced_error(error, self._name)
            return self._fenced
        return log_error(error, f"{what} on {self._name} failed")

    def _check_usable(self) -> None:
        if self._closed:
            raise UsageError(f"A member of group {self._group} was used after it was closed.")
        if self._broken is not None:
            raise self._broken

    def close(self) -> None:
        """The listener may still commit what it gives up; after that, nothing is possible any more."""
        if self._closed or self._closing:
            return
        self._closing = True
        left = sorted(self._owned)
        try:
            if left and self._fenced is None:
                self._listener.on_revoked(left)
        finally:
            self._leave()
            self._closed = True
