"""What a topic takes, so that a record that is too large or goes nowhere is refused before it is sent.

The broker would refuse it too, but late, and a transaction that holds such a record is lost with all that is in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from weft.errors import LogError, LogUnavailableError, RecordTooLargeError, TopicError
from weft.log._api import Headers, TopicInfo

_RECORD_BYTES_MAX_DEFAULT = 1_048_588
_OVERHEAD_BYTES = 100
"""What a batch of one record needs besides its key, value and headers (at most)."""
_HEADER_BYTES = 10
_LOOKUP_TIMEOUT_S = 10.0

Describe = Callable[[str, float], TopicInfo | None]


class TopicLimits:
    """The limits of the topics that were written to, asked for once each. For all producers of a log, in any thread."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self._bytes_max_by_topic: dict[str, int] = {}
        self._lock = threading.Lock()

    def check(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Raises `RecordTooLargeError`, or `TopicError` when there is no such topic."""
        size_bytes = _OVERHEAD_BYTES + (len(value) if value else 0) + (len(key) if key else 0)
        if headers:
            size_bytes += sum(len(name) + len(content) + _HEADER_BYTES for name, content in headers)
        bytes_max = self._bytes_max_by_topic.get(topic) or self._look_up(topic)
        if size_bytes > bytes_max:
            self.forget(topic)  # it may have been raised since
            bytes_max = self._look_up(topic)
        if size_bytes > bytes_max:
            raise RecordTooLargeError(
                f"A record of {size_bytes - _OVERHEAD_BYTES} bytes for {topic} is larger than the topic takes "
                f"({bytes_max} bytes with {_OVERHEAD_BYTES} for its wrapping). It was not written. Send less, or raise "
                "`max.message.bytes` of the topic."
            )

    def forget(self, topic: str) -> None:
        """Ask again before the next record: the topic is gone, or has changed."""
        self._bytes_max_by_topic.pop(topic, None)

    def _look_up(self, topic: str) -> int:
        with self._lock:
            known = self._bytes_max_by_topic.get(topic)
            if known is None:
                known = self._ask(topic)
                self._bytes_max_by_topic[topic] = known
            return known

    def _ask(self, topic: str) -> int:
        try:
            info = self._describe(topic, _LOOKUP_TIMEOUT_S)
        except LogUnavailableError:
            raise
        except LogError:
            # Writing may be allowed where looking is not; the broker has the last word then.
            return _RECORD_BYTES_MAX_DEFAULT
        if info is None:
            raise TopicError(
                f"There is no topic {topic}. Nothing was written. Make the topics with `weft topics create`."
            )
        return info.record_bytes_max
