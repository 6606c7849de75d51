"""What the agent can do in the shop, and how risky it is."""

from __future__ import annotations

from typing import Any

from weft import activity
from weft.errors import Failure
from weft.hitl import Risk


class NoSuchOrder(Failure):
    """Asking again does not help; the model hears of it."""


_ORDERS: dict[str, dict[str, Any]] = {
    "order-7": {"item": "a lamp", "cents": 4200, "damaged": True},
    "order-8": {"item": "a chair", "cents": 9900, "damaged": False},
}
_ORDER_ID = {"type": "object", "properties": {"order_id": {"type": "string"}}}

RISKS: dict[str, Risk] = {"look_up_order": "read_only", "refund": "irreversible"}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": _ORDER_ID}} for name in RISKS
]
"""As the model is told of them."""


async def look(name: str, args: dict[str, Any]) -> dict[str, Any]:
    """The tools that change nothing."""
    if name != "look_up_order":
        raise Failure(f"there is no tool {name!r} for looking", non_retryable=True)
    return {"order_id": args["order_id"], **_order(args)}


async def act(name: str, args: dict[str, Any]) -> dict[str, Any]:
    """The tools that do. The key lets a payment service refuse to pay twice, when a worker dies after it has paid."""
    if name != "refund":
        raise Failure(f"there is no tool {name!r} for acting", non_retryable=True)
    cents = min(int(args.get("cents", _order(args)["cents"])), _order(args)["cents"])
    return {"refunded": args["order_id"], "cents": cents, "key": activity.info().idempotency_key}


def _order(args: dict[str, Any]) -> dict[str, Any]:
    order_id = str(args.get("order_id"))
    if order_id not in _ORDERS:
        raise NoSuchOrder(f"there is no {order_id}", non_retryable=True)
    return _ORDERS[order_id]
