"""When one workflow gets most of what comes in, it is named."""

from __future__ import annotations

import pytest

from weft.log import LogRecord
from weft.worker._hot_key import HotKey


def records(key: str, count: int) -> list[LogRecord]:
    return [LogRecord("shop.signals", 0, number, key.encode(), b"{}") for number in range(count)]


def test_hot_workflow_is_told_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    hot_key = HotKey("shop")
    hot_key.note([*records("busy", 1500), *records("calm", 500)], 100.0)
    assert hot_key.share == 0.0, "the window is open"
    hot_key.note([], 110.0)
    assert hot_key.share == 0.75
    hot_key.note([*records("busy", 3000)], 111.0)
    hot_key.note([], 120.0)
    assert hot_key.share == 1.0
    (message,) = [record.getMessage() for record in caplog.records]
    assert "workflow busy of shop gets 75% of what comes in here, 150 records a second" in message


def test_little_or_even_load_has_no_hot_workflow(caplog: pytest.LogCaptureFixture) -> None:
    hot_key = HotKey("shop")
    hot_key.note(records("only", 10), 100.0)
    hot_key.note([], 110.0)
    assert hot_key.share == 0.0
    for number in range(4):
        hot_key.note(records(f"order-{number}", 500), 111.0)
    hot_key.note([], 120.0)
    assert hot_key.share == 0.25
    assert caplog.records == []
