from __future__ import annotations

from contextlib import closing

import pytest
from benchmarks.counting import RecordCounter
from benchmarks.raw import _variant
from benchmarks.stage import Line, Stage, Where, open_stage
from benchmarks.throughput import per_activity

from weft.log import FROM_START, TopicSpec, open_log
from weft.topics import Namespace

PATIENCE_S = 30.0

W1: Line = {
    "workload": "W1",
    "variant": "queued, 200 in flight",
    "activities_per_s": 1000,
    "topics": {
        "signals": {"records": 0.2, "bytes": 80.0},
        "state": {"records": 1.2, "bytes": 1900.0},
        "tasks.default": {"records": 1.0, "bytes": 310.0},
        "results": {"records": 1.0, "bytes": 300.0},
        "events": {"records": 0.4, "bytes": 160.0},
        "replies": {"records": 0.2, "bytes": 60.0},
    },
}


def test_counter_counts_what_is_written_after_it_was_made() -> None:
    with open_stage("embedded", 1.0) as stage:
        names = Namespace(stage.new_namespace())
        producer = stage.log.producer()
        producer.produce(names.signals, 0, b"before", b"1")
        assert producer.flush(10) == 0
        counter = RecordCounter(stage.log, names.name)
        producer.produce(names.signals, 1, b"key", b"12345", [("name", b"12")])
        producer.produce(names.signals, 0, b"key", None)
        producer.produce(names.tasks("default"), 3, b"k", b"12")
        assert producer.flush(10) == 0
        counts = counter.count()
        counter.close()
        producer.close()
    assert counts == {"signals": (2, 17), "tasks.default": (1, 3)}
    assert per_activity(counts, 10) == {
        "records_per_activity": 0.3,
        "bytes_per_activity": 2,
        "topics": {
            "signals": {"records": 0.2, "bytes": 1.7},
            "tasks.default": {"records": 0.1, "bytes": 0.3},
        },
    }


@pytest.mark.kafka
def test_records_of_an_open_transaction_are_of_what_was_before(
    kafka_address: str, namespace: str
) -> None:
    """A reader of committed records would take up an open transaction's as new ones, once it ends."""
    with closing(open_log(kafka=kafka_address)) as log, closing(log.admin()) as admin:
        topic = Namespace(namespace).state
        admin.create_topics([TopicSpec(topic, 1)])
        producer = log.transactional_producer(f"{topic}-writer")
        reader = log.reader(committed=False)
        with closing(producer), closing(reader):
            producer.fence(PATIENCE_S)
            producer.begin()
            producer.append(topic, 0, b"key", b"before")
            reader.assign({(topic, 0): FROM_START})
            assert len(reader.poll(1, PATIENCE_S)) == 1
            counter = RecordCounter(log, namespace)
            with closing(counter):
                producer.append(topic, 0, b"key", b"after")
                producer.commit(PATIENCE_S)
                assert counter.count() == {"state": (1, len(b"keyafter"))}


@pytest.mark.kafka
@pytest.mark.parametrize("variant", ["queued, 200 in flight", "inline, 200 in flight"])
def test_raw_loop_writes_the_records_that_it_was_told(variant: str, kafka_address: str) -> None:
    """A limit with other records than W1's would be none."""
    topics = dict(W1["topics"])
    if variant.startswith("inline"):
        del topics["tasks.default"], topics["results"]
    log = open_log(kafka=kafka_address)
    try:
        stage = Stage("kafka", log, Where(kafka=kafka_address), scale=0.01)
        line = _variant(stage, W1 | {"variant": variant, "topics": topics})
    finally:
        log.close()
    assert line["topics"].keys() == topics.keys()
    for topic, wanted in topics.items():
        assert line["topics"][topic]["records"] == wanted["records"]
        assert line["topics"][topic]["bytes"] == pytest.approx(wanted["bytes"], rel=0.02)
    assert line["w1_share"] == pytest.approx(1000 / line["activities_per_s"], abs=0.01)
