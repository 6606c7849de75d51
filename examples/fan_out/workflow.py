"""Fan out, fan in: a thousand parts at once, on as many workers as there are, and one result.

weft dev examples/fan_out/workflow.py
weft start count_primes --input '{"below": 200000}' --wait
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

from weft import activity, workflow


@dataclass(frozen=True)
class Range:
    """How many primes are below it is counted in so many parts."""

    below: int = 1_000_000
    parts: int = 1_000


@dataclass(frozen=True)
class Result:
    primes: int
    largest_part: int


@activity.define
def count_part(start: int, stop: int) -> int:
    """How many primes are in it. A plain function, which runs in a thread of its worker."""
    return sum(is_prime(number) for number in range(max(start, 2), stop))


def is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, isqrt(number) + 1))


@workflow.define
async def count_primes(ctx: workflow.Context, wanted: Range) -> Result:
    bounds = [wanted.below * part // wanted.parts for part in range(wanted.parts + 1)]
    parts = [
        ctx.execute_activity(count_part, start, stop)  # on its way at once
        for start, stop in pairwise(bounds)
    ]
    for number, part in enumerate(asyncio.as_completed(parts), 1):
        await part
        ctx.set_status(f"{number} of {len(parts)}")
    counts = await asyncio.gather(*parts)
    return Result(sum(counts), max(counts))
