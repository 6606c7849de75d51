"""What stands in the headers of `ns.deadletters`: its records are put aside as they came, so there is no other room.

A dead letter has the key, value and headers of the record that could not be used, and the four of `ABOUT` beside them.
The topic keeps what is on it, so that a letter was replayed is told by a *mark*: a record on the same partition with
the same key, no value, and `REPLAYED`.
"""

from __future__ import annotations

TOPIC = "weft-topic"
"""The topic that the record came on."""
PARTITION = "weft-partition"
OFFSET = "weft-offset"
REASON = "weft-reason"
"""Why it was put aside, in words."""
ABOUT = (TOPIC, PARTITION, OFFSET, REASON)

REPLAYED = "weft-replayed"
"""In a mark: the offset of the letter, on the mark's own partition."""
REPLAYED_TO = "weft-replayed-to"
"""In a mark: `topic-partition@offset` of the record that was written again."""
REPLAYED_FROM = "weft-replayed-from"
"""In a record that was written again: `topic-partition@offset` of the dead letter."""
