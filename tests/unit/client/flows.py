"""The fake owner's workflows, as a client sees them. Their code never runs here."""

from __future__ import annotations

from dataclasses import dataclass

from weft import workflow


@dataclass(frozen=True)
class Order:
    id: str
    amount: int = 0


@workflow.define
async def echo(_ctx: workflow.Context, order: Order) -> Order:
    return order


@workflow.define(name="echo")
async def miscast(_ctx: workflow.Context, _order: object) -> int:
    """Says that `echo` returns a number."""
    return 0


@workflow.define
async def wait(_ctx: workflow.Context) -> str:
    """Ends when signal `finish` comes, with its payload."""
    return ""


@workflow.define
async def fail(_ctx: workflow.Context) -> None:
    """Fails with `owner.FAILURE`."""


@workflow.define
async def blocked(_ctx: workflow.Context) -> None:
    """Is blocked from the start."""
