"""What must not stand in any file: places that exist on one machine only, and where packages come from."""

from __future__ import annotations

import re

_MACHINE_PATH = re.compile(r"(?<![\w.$}~/-])/(?:root|home|Users|work)/[\w.-]+")
HOSTS = tuple(
    ".".join(parts)  # in pieces, so that this file does not name them either
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
)
_REGISTRY = re.compile(
    rf"\b(?:{'|'.join(map(re.escape, HOSTS))})\b|https?://[^\s/\"']*(?:artifactory|nexus|mirror)"
)


def findings(text: str, name: str) -> list[str]:
    """Lines that name a path of one machine, or a package registry's host.

    Which registry or mirror serves is the machine's business, not the project's.
    """
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, what in (
            (_MACHINE_PATH, "a path of one machine"),
            (_REGISTRY, "a registry's host"),
        ):
            match = pattern.search(line)
            if match:
                found.append(f"{name}:{number} names {what}: {match.group()}")
    return found
