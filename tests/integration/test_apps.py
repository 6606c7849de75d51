"""The engine in one process, an application in another, and nothing but the log's streams between them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.serving import serving
from tests.support.workers import lines, wait_until, weft, worker
from weft import activity, workflow
from weft.client import Client
from weft.log import Log
from weft.topics import Namespace
from weft.workflow import Context

pytestmark = pytest.mark.kafka

ENGINE = """
from weft import workflow

@workflow.define
async def order(ctx: workflow.Context, item: str) -> list[str]:
    return [await ctx.execute_activity(step, item) for step in ("reserve", "charge")]
"""
APPLICATION = """
import time
from pathlib import Path
from weft import activity

def run(step: str, item: str) -> str:
    with Path("notes").open("a") as notes:
        notes.write(f"{step} begun\\n")
    while Path(f"hold-{step}").exists():
        time.sleep(0.02)
    return f"{step} {item}: done"

@activity.define
def reserve(item: str) -> str:
    return run("reserve", item)

@activity.define
def charge(item: str) -> str:
    return run("charge", item)
"""


@pytest.mark.requirement("R2-10", "R3-18")
def test_engine_and_application_outlive_each_other_when_only_streams_connect_them(
    kafka_log: Log,
    topics: Namespace,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    engine_file, application_file = tmp_path / "engine.py", tmp_path / "application.py"
    engine_file.write_text(ENGINE)
    application_file.write_text(APPLICATION)
    for step in ("reserve", "charge"):
        (tmp_path / f"hold-{step}").touch()

    async def start() -> None:
        async with Client(kafka_log, namespace=topics.name) as client:
            await client.start("order", "tea", id="order-1", wait_s=30)

    def begun(step: str) -> int:
        return lines(tmp_path / "notes").count(f"{step} begun")

    with (
        worker("--workflows-only", *options, "--instance-id", "e", file=engine_file) as engine,
        worker("--activities-only", *options, "--instance-id", "a", file=application_file) as app,
    ):
        asyncio.run(start())
        wait_until(lambda: begun("reserve") == 1, "the application has the first step")
        engine.kill()
        (tmp_path / "hold-reserve").unlink()  # its result goes out while there is no engine
        engine.restart()
        wait_until(lambda: begun("charge") == 1, "the engine has the result, and asks for more")
        app.kill()
        (tmp_path / "hold-charge").unlink()
        app.restart()
        result = weft("result", "order-1", *options, "--json")
    assert json.loads(result.stdout)["result"] == ["reserve tea: done", "charge tea: done"]
    assert begun("reserve") == 1, "what the application had done it is not asked again"
    assert begun("charge") == 2, "what died with the application runs again"


@activity.define
def price(address: str, item: str) -> int:
    with urlopen(Request(f"{address}/prices/{item}"), timeout=10) as response:
        return int(json.load(response)["cents"])


@activity.define
def store(file: str, item: str, cents: int) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS prices (item PRIMARY KEY, cents)")
        database.execute("INSERT OR REPLACE INTO prices VALUES (?, ?)", (item, cents))


@activity.define
def announce(broker: str, topic: str, item: str, cents: int) -> None:
    producer = Producer({"bootstrap.servers": broker})
    producer.produce(topic, key=item, value=json.dumps({"cents": cents}))
    assert producer.flush(10) == 0


@workflow.define
async def reprice(ctx: Context, places: dict[str, str]) -> int:
    item = places["item"]
    cents = await ctx.execute_activity(price, places["service"], item)
    await ctx.execute_activity(store, places["database"], item, cents)
    await ctx.execute_activity(announce, places["broker"], places["topic"], item, cents)
    return cents


@pytest.mark.requirement("R3-14")
def test_activities_call_a_service_a_state_store_and_a_broker(
    kafka_address: str, kafka_log: Log, topics: Namespace, tmp_path: Path
) -> None:
    database = tmp_path / "prices.sqlite"
    topic = f"{topics.name}-prices"
    admin = AdminClient({"bootstrap.servers": kafka_address})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)

    async def run() -> int:
        with price_service({"tea": 350}) as address:
            async with (
                serving(kafka_log, topics.name, [reprice], [price, store, announce]),
                Client(kafka_log, namespace=topics.name) as client,
            ):
                places = {
                    "item": "tea",
                    "service": address,
                    "database": str(database),
                    "broker": kafka_address,
                    "topic": topic,
                }
                return await client.execute(reprice, places, id="tea", timeout=30)

    assert asyncio.run(run()) == 350
    with closing(sqlite3.connect(database)) as opened:
        assert opened.execute("SELECT item, cents FROM prices").fetchall() == [("tea", 350)]
    assert read_one(kafka_address, topic) == (b"tea", {"cents": 350})


@contextmanager
def price_service(cents: dict[str, int]) -> Iterator[str]:
    """An HTTP service of somebody else's; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"cents": cents[self.path.rpartition("/")[2]]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def read_one(broker: str, topic: str) -> tuple[bytes | None, Any]:
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        message = consumer.poll(30)
        assert message is not None, f"nothing came on {topic}"
        assert message.error() is None, message.error()
        return message.key(), json.loads(message.value() or b"null")
    finally:
        consumer.close()
