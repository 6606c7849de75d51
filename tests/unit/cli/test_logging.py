from __future__ import annotations

import logging
import time

import pytest

from weft.cli._logging import Repetitions


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("weft.log.kafka", logging.ERROR, "", 0, text, (), None)


def test_complaint_passes_once_in_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    filter_ = Repetitions()
    down = "broker 1: Connection refused (after {}ms in state CONNECT)"
    assert filter_.filter(record(down.format(1)))
    assert not filter_.filter(record(down.format(2)))
    assert filter_.filter(record("broker 2: Connection refused"))
    now_s += 31
    assert filter_.filter(record(down.format(3)))
    assert not filter_.filter(record(down.format(3)))


def test_memory_of_complaints_is_bounded() -> None:
    filter_ = Repetitions()
    for number in range(3000):
        assert filter_.filter(record(f"broker {number}"))
    assert len(filter_._passed_s) <= 1000
