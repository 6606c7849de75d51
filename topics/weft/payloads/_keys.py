"""Where a payload lies in its store: `<namespace>/<workflow>/<scope>/<sha256>.json`.

The scope is the run that asked for it, or, for what a client sends before any run is known, a name that no other
request has. So whoever purges a run knows which payloads were its own, and nothing is ever shared by two of them.
"""

from __future__ import annotations

import hashlib
import re

_READABLE_LENGTH_MAX = 60
_HASH_DIGITS = 16
_KEY = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*){3}")
_NOT_READABLE = re.compile(r"[^A-Za-z0-9_-]+")


def workflow_folder(namespace: str, workflow_id: str) -> str:
    """`<namespace>/<workflow>`, where the payloads of all runs of a workflow lie.

    The folder shows as much of the ID as a file system surely takes; the hash tells IDs apart that look alike.
    """
    readable = _NOT_READABLE.sub("-", workflow_id)[:_READABLE_LENGTH_MAX]
    digest = hashlib.sha256(workflow_id.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{namespace}/{readable}-{digest}"


def payload_key(namespace: str, workflow_id: str, scope: str, sha256: str) -> str:
    folder = workflow_folder(namespace, workflow_id)
    return f"{folder}/{scope_name(scope)}/{sha256}.json"


def scope_name(scope: str) -> str:
    """How a scope, or the ID of a run, stands in a key."""
    return _NOT_READABLE.sub("-", scope)


def scope_of(key: str) -> str:
    return key.split("/")[2]


def is_key(key: str) -> bool:
    """Whether it can be a payload's: what comes from the log must not lead out of the store."""
    return _KEY.fullmatch(key) is not None and ".." not in key
