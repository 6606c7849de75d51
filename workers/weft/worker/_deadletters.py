"""Records that are put aside: how they are labelled, whoever writes them."""

from __future__ import annotations

from weft.log import Headers, LogRecord
from weft.records import deadletters

_REASON_LENGTH_MAX = 2000
"""A reason may quote what it is about, and that may be as long as a record."""


def labelled(record: LogRecord, reason: str) -> Headers:
    """The headers of a dead letter: the record's own, then where it came from and why it is here.

    A letter that was replayed in vain has such labels already; only the newest are kept.
    """
    kept = [header for header in record.headers if header[0] not in deadletters.ABOUT]
    return (
        *kept,
        (deadletters.TOPIC, record.topic.encode()),
        (deadletters.PARTITION, str(record.partition).encode()),
        (deadletters.OFFSET, str(record.offset).encode()),
        (deadletters.REASON, reason[:_REASON_LENGTH_MAX].encode(errors="replace")),
    )
