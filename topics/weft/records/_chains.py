"""Runs that continue one another: `ctx.continue_as_new` ends a run and begins the next one of its chain.

The IDs tell the chain, so nobody has to remember it: the first run's has no dot, and the n-th is the first's with `.n`.
"""

from __future__ import annotations


def next_run_id(run_id: str) -> str:
    """The ID of the run that continues this one."""
    return f"{chain_of(run_id)}.{run_number(run_id) + 1}"


def chain_of(run_id: str) -> str:
    """The ID of the first run of its chain; equal for all that continue one another."""
    return run_id.partition(".")[0]


def run_number(run_id: str) -> int:
    """Its place in the chain; the first is 1."""
    number = run_id.partition(".")[2]
    return int(number) if number.isdigit() else 1


def is_same_chain(run_id: str, other_id: str) -> bool:
    """Whether these are one run, or runs that continue one another."""
    return run_id == other_id or chain_of(run_id) == chain_of(other_id)
