"""Payloads in the store that no run refers to: of starts and turns that never came to the log, and of purged runs.

A payload is stored before its reference is written, so a crash in between leaves one behind. The age keeps those safe
whose reference is still on its way: in a record that nobody has read yet.
"""

from __future__ import annotations

from collections.abc import Iterable

from weft.client._state import Referenced
from weft.payloads import StoredObject, scope_name, scope_of


def orphans(
    found: Iterable[StoredObject], referenced: Referenced, written_before_s: float
) -> list[StoredObject]:
    """Those of `found` that were written before that time and belong to no run on the log.

    What an open run stored and does not refer to stays until the run is purged: it may store the same again this very
    moment. What has no time stays too.
    """
    scopes = {scope_name(run_id) for run_id in referenced.run_ids}
    return [
        one
        for one in found
        if 0 < one.written_s < written_before_s
        and one.key not in referenced.keys
        and scope_of(one.key) not in scopes
    ]
