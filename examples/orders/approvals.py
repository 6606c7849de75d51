"""The people who approve large orders, pretended: what each decides, and the record they write.

The record is an ordinary one on the signals topic: the key is the workflow ID, the value a few fields of JSON. Whoever
can write to Kafka can approve; nothing of Weft is needed for it.
"""

from __future__ import annotations

import json
from typing import Literal

from examples.orders.world import lot

Answer = Literal["approve", "approve_twice", "refuse", "late", "silent"]
"""`approve_twice` sends one record two times, under one ID; `late` comes when the order has ended already."""

_REFUSE_BELOW, _SILENT_BELOW, _LATE_BELOW, _TWICE_BELOW = 12, 20, 26, 36


def answer_for(order_id: str) -> Answer:
    """What becomes of the request to approve this order."""
    number = lot(order_id, "approval")
    if number < _REFUSE_BELOW:
        return "refuse"
    if number < _SILENT_BELOW:
        return "silent"
    if number < _LATE_BELOW:
        return "late"
    return "approve_twice" if number < _TWICE_BELOW else "approve"


def approval_record(order_id: str) -> bytes:
    """The value of the record. The `id` makes it count once, however often it is sent."""
    if answer_for(order_id) == "refuse":
        payload = {"approved": False, "by": "Ines Ågren", "note": "credit limit reached"}
    else:
        payload = {"approved": True, "by": "Dana Öztürk"}
    signal = {"signal": "approval", "payload": payload, "id": f"approval-{order_id}"}
    return json.dumps(signal, ensure_ascii=False).encode()
