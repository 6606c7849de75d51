"""Records that cannot be understood, and records that came on the wrong partition: neither stops anything."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.worker.conftest import Serve
from tests.unit.worker.kit import (
    NAMESPACE,
    ORDER,
    Served,
    accepted_reply,
    decode_json,
    ended_reply,
    replies_of,
    topics_of,
)
from tests.unit.worker.workflows import approval, at_once, fulfil
from weft.codec import encode, encode_payload
from weft.log import LogRecord
from weft.records import (
    AttemptCompleted,
    AwaitResult,
    ForwardedRecord,
    Payload,
    PurgeWorkflow,
    SignalWorkflow,
    StartWorkflow,
)
from weft.topics import partition_of

PARTITIONS = 4
HOME = partition_of(ORDER.encode(), PARTITIONS)
ELSEWHERE = (HOME + 1) % PARTITIONS

MALFORMED = [
    ("signals", b"{", "truncated"),
    ("signals", b"no json", "malformed"),
    ("signals", b'{"kind": "dance"}', "dance"),
    ("signals", b'{"kind": "start"}', "workflow"),
    ("signals", b'{"signal": ""}', "signal name"),
    ("signals", b'{"signal": "a", "v": 2}', r"\$\.v"),
    ("signals", b'{"signal": "a", "payload": "\xff"}', "utf-8"),
    ("signals", None, "no value"),
    ("results", b'{"kind": "completed"}', "run_id"),
    ("results", None, "no value"),
    ("messages", b'{"kind": "forwarded"}', "source"),
    ("queries", b'{"kind": "await"}', "reply_to"),
]


@pytest.mark.parametrize(("topic", "value", "reason"), MALFORMED, ids=repr)
def test_malformed_record_is_put_aside_as_it_came_with_the_reason(
    serve: Serve, topic: str, value: bytes | None, reason: str
) -> None:
    served = serve(at_once)
    record = served.record(f"orders.{topic}", value)
    record.headers = (("trace", b"abc"),)
    batch = served.turn(record)
    ((written, partition, key, written_value, headers),) = batch.writes
    assert (written, partition, key, written_value) == (
        NAMESPACE.deadletters,
        0,
        b"order-42",
        value,
    )
    told = dict(headers)
    assert told.pop("weft-reason").decode().lower().find(reason.strip("\\$.")) >= 0
    assert told == {
        "trace": b"abc",
        "weft-topic": f"orders.{topic}".encode(),
        "weft-partition": b"0",
        "weft-offset": b"0",
    }
    assert batch.next_offsets == {(f"orders.{topic}", 0): 1}
    assert batch.partitions == {0}, "its offsets go into the transaction"


@pytest.mark.parametrize("key", [None, b"", b"\xff\xfe", b"a\0b", b"x" * 300], ids=repr)
@pytest.mark.parametrize("topic", ["signals", "results", "messages", "queries"])
def test_record_is_put_aside_when_its_key_is_no_workflow_id(
    serve_live: Serve, topic: str, key: bytes | None
) -> None:
    served = serve_live(at_once)
    values: dict[str, Any] = {
        "signals": SignalWorkflow("a"),
        "results": AttemptCompleted("run-1", 1, 1),
        "messages": ForwardedRecord("signals", "t", 1, 1, Payload(b"{}")),
        "queries": AwaitResult(ended_reply()),
    }
    batch = served.turn(served.record(f"orders.{topic}", values[topic], key))
    assert topics_of(batch) == ["deadletters"]
    assert "key is not a workflow ID" in dict(batch.writes[0][4])["weft-reason"].decode()


def test_malformed_record_does_not_stop_those_around_it(serve: Serve) -> None:
    served = serve(approval)
    served.start("approval")
    served.turn(
        served.signals(b"no json"),
        served.signals(SignalWorkflow("approval", encode_payload("yes"))),
        served.signals(b"no json either"),
    )
    assert served.head().status == "completed"
    assert len(served.deadletters) == 2


def test_put_aside_records_are_counted_by_topic(serve_live: Serve) -> None:
    served = serve_live(approval)
    served.turn(served.signals(b"{"), served.signals(b"{"), served.results(b"{"))
    assert served.partition.intake.deadlettered == {"orders.signals": 2, "orders.results": 1}


# On the wrong partition.


def two_partitions(serve: Serve, *workflows: Any) -> tuple[Served, Served]:
    """The workflow's own partition, and another one."""
    home = serve(*workflows, number=HOME, partition_count=PARTITIONS)
    other = serve(*workflows, number=ELSEWHERE, partition_count=PARTITIONS)
    return home, other


def forwarded(other: Served, home: Served) -> LogRecord:
    """What the other partition's owner wrote, as the home partition's owner reads it."""
    ((topic, partition, key, value, _),) = other.batch.writes
    assert (topic, partition, key) == (NAMESPACE.messages, HOME, b"order-42")
    return home.messages(value, key)


def test_misrouted_signal_is_forwarded_once_and_taken_at_home(serve: Serve) -> None:
    """Clients on librdkafka hash keys otherwise."""
    home, other = two_partitions(serve, approval)
    home.start("approval")
    batch = other.turn(other.signals(b'{"signal":"approval","payload":"yes"}'))
    assert decode_json(batch.writes[0][3]) == {
        "kind": "forwarded",
        "source": "signals",
        "topic": "orders.signals",
        "partition": ELSEWHERE,
        "offset": 0,
        "record": {"signal": "approval", "payload": "yes"},
    }
    assert batch.partitions == {ELSEWHERE}, "offsets of the partition that it came on"
    home.turn(forwarded(other, home))
    assert home.head().status == "completed"
    assert other.partition.cells == {}


def test_misrouted_start_runs_at_home(serve: Serve) -> None:
    home, other = two_partitions(serve, at_once)
    other.start("at_once", 7, reply_to=accepted_reply())
    assert other.replies == []
    batch = home.turn(forwarded(other, home))
    assert [reply.outcome for reply in replies_of(batch)] == ["accepted"]
    assert home.head().status == "completed"


def test_misrouted_result_is_forwarded_once_and_taken_at_home(serve: Serve) -> None:
    home, other = two_partitions(serve, fulfil)
    home.start("fulfil", 1)
    other.turn(other.results(home.completed(home.task, 5)))
    assert decode_json(other.batch.writes[0][3])["source"] == "results"
    home.turn(forwarded(other, home))
    assert home.head().event_count == 4


def test_misrouted_malformed_record_is_put_aside_where_it_came(serve: Serve) -> None:
    _, other = two_partitions(serve, approval)
    assert topics_of(other.turn(other.signals(b"{"))) == ["deadletters"]


def test_forwarded_record_is_put_aside_when_it_is_not_at_home_either(serve: Serve) -> None:
    """It is never forwarded twice: two owners that disagree would send it around for ever."""
    _, other = two_partitions(serve, approval)
    record = ForwardedRecord("signals", "t", 0, 0, Payload(b'{"signal":"a"}'))
    assert topics_of(other.turn(other.messages(record))) == ["deadletters"]


def test_forwarded_record_is_put_aside_when_its_inside_is_malformed(serve: Serve) -> None:
    home, _ = two_partitions(serve, approval)
    for source, inside in (("signals", b'{"signal":""}'), ("results", b"{}")):
        record = ForwardedRecord(source, "t", 0, 0, Payload(inside))
        assert topics_of(home.turn(home.messages(record))) == ["deadletters"]


def test_forwarded_signal_is_put_aside_when_there_is_no_such_workflow(serve: Serve) -> None:
    home, other = two_partitions(serve, approval)
    other.turn(other.signals(SignalWorkflow("approval")))
    assert topics_of(home.turn(forwarded(other, home))) == ["deadletters"]


def test_misrouted_purge_deletes_at_home(serve: Serve) -> None:
    home, other = two_partitions(serve, at_once)
    home.turn(home.signals(StartWorkflow("at_once", "request-1", encode_payload(1))))
    other.turn(other.signals(PurgeWorkflow()))
    home.turn(forwarded(other, home))
    assert home.compacted == {}


def test_misrouted_query_is_answered_at_home(serve_live: Serve) -> None:
    home, other = two_partitions(serve_live, at_once)
    home.start("at_once", 7)
    batch = other.ask(ended_reply())
    assert (batch.replies, decode_json(batch.writes[0][3])["source"]) == ([], "queries")
    (reply,) = replies_of(home.turn(forwarded(other, home)))
    assert (reply.outcome, reply.status) == ("ended", "completed")
    other.turn(other.queries(AwaitResult(ended_reply()), "nobody-at-all"))
    assert other.written[NAMESPACE.messages], "whoever is at home there answers"


def test_headers_of_a_misrouted_record_go_with_it(serve: Serve) -> None:
    _, other = two_partitions(serve, approval)
    record = other.signals(SignalWorkflow("approval"))
    record.headers = (("trace", b"abc"),)
    other.turn(record)
    assert other.batch.writes[0][4] == (("trace", b"abc"),)


def test_forwarded_record_is_put_aside_as_it_first_came(serve: Serve) -> None:
    """Who looks for a record knows where they wrote it, not how it travelled on."""
    home, other = two_partitions(serve, approval)
    other.turn(other.signals(b'{"signal": "approval"}'))
    record = forwarded(other, home)
    record.headers = (("trace", b"abc"),)
    batch = home.turn(record)
    ((topic, partition, key, value, headers),) = batch.writes
    assert (topic, partition, key) == (NAMESPACE.deadletters, HOME, b"order-42")
    assert value == b'{"signal": "approval"}'
    told = dict(headers)
    assert told.pop("weft-reason") == b"there is no workflow 'order-42'"
    assert told == {
        "trace": b"abc",
        "weft-topic": b"orders.signals",
        "weft-partition": str(ELSEWHERE).encode(),
        "weft-offset": b"0",
    }
    assert batch.partitions == {HOME}, "the offsets of the partition that is written"


def test_put_aside_records_count_under_names_that_we_know(serve_live: Serve) -> None:
    home, _ = two_partitions(serve_live, approval)
    for topic in ("orders.signals", "whatever"):
        record = ForwardedRecord("signals", topic, 0, 0, Payload(b'{"signal":""}'))
        home.turn(home.messages(record))
    assert home.partition.intake.deadlettered == {"orders.signals": 1, "orders.messages": 1}


def test_label_is_cut_when_the_reason_quotes_a_whole_record(serve: Serve) -> None:
    served = serve(approval)
    kind = "x" * 900_000
    batch = served.turn(served.signals(f'{{"kind": "{kind}"}}'.encode()))
    assert len(dict(batch.writes[0][4])["weft-reason"]) == 2000


def test_labels_of_a_letter_that_was_replayed_in_vain_are_the_newest(serve: Serve) -> None:
    served = serve(approval)
    record = served.signals(b"{")
    record.headers = (("weft-reason", b"old"), ("weft-replayed-from", b"orders.deadletters-0@1"))
    batch = served.turn(record)
    names = [name for name, _ in batch.writes[0][4]]
    assert names == [
        "weft-replayed-from",
        "weft-topic",
        "weft-partition",
        "weft-offset",
        "weft-reason",
    ]


def test_every_partition_takes_its_own(serve_live: Serve) -> None:
    """Ten workflows on four partitions: each record is taken by one owner alone."""
    owners = [serve_live(at_once, number=n, partition_count=PARTITIONS) for n in range(PARTITIONS)]
    for key in (f"order-{number}" for number in range(10)):
        for owner in owners:
            owner.start("at_once", key, key=key)
    served = [set(owner.partition.cells) for owner in owners]
    assert sum(map(len, served)) == 10
    for owner, keys in zip(owners, served, strict=True):
        assert all(partition_of(key.encode(), PARTITIONS) == owner.number for key in keys)
        assert owner.partition.intake.forwarded_count == 10 - len(keys)


def test_encoded_forms_are_what_other_owners_read() -> None:
    record = ForwardedRecord("signals", "orders.signals", 1, 7, Payload(b'{"signal":"a"}'))
    assert encode(record) == (
        b'{"kind":"forwarded","source":"signals","topic":"orders.signals","partition":1,"offset":7,'
        b'"record":{"signal":"a"}}'
    )
