"""What is logged to standard error, and what is not."""

from __future__ import annotations

import logging
import re
import sys
import time

_KAFKA_LOGGER = "weft.log.kafka"
_REPEAT_S = 30.0
_TEXTS_MAX = 1000
_AGE = re.compile(r"\(after \d+ms .*?\)")


def log_to_stderr(*, debug: bool) -> None:
    """For a command that answers and ends: warnings, and nothing of the Kafka client, whose errors are told anyway."""
    logging.basicConfig(
        level=logging.INFO if debug else logging.WARNING,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger(_KAFKA_LOGGER).setLevel(logging.DEBUG if debug else logging.CRITICAL + 1)


def log_of_a_worker(*, debug: bool) -> None:
    """For a command that goes on: what the worker does, and what the Kafka client complains of, once in a while."""
    logging.getLogger("weft").setLevel(logging.INFO)
    if not debug:
        kafka = logging.getLogger(_KAFKA_LOGGER)
        kafka.setLevel(logging.WARNING)
        kafka.addFilter(Repetitions())


class Repetitions(logging.Filter):
    """Passes a text once in 30 s: a broker that is down is tried again several times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = _AGE.sub("", record.getMessage())
        now_s = time.monotonic()
        if now_s - self._passed_s.get(text, -_REPEAT_S) < _REPEAT_S:
            return False
        if len(self._passed_s) >= _TEXTS_MAX:
            self._passed_s.clear()
        self._passed_s[text] = now_s
        return True
