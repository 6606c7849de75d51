"""Tables of Markdown, and their places in pages that people write."""

from __future__ import annotations

from collections.abc import Iterable


def joined(cells: Iterable[str]) -> str:
    """One row."""
    return "| " + " | ".join(cells) + " |"


def put_between(text: str, begin: str, end: str, table: str, what: str) -> str:
    """The page with this table between these lines. Raises ValueError when it has no place for `what`."""
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"there is no place for {what}: {begin} and, after it, {end}")
    return f"{before}{begin}\n\n{table}\n{end}{after}"
