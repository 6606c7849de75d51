"""What must not stand in any file: places that exist on one machine only, and where packages come from."""

from __future__ import annotations

import re

_MACHINE_PATH = re.compile(r"(?<![\w.$}~/-])/(?:root|home|Users|work)/[\w.-]+")
_REGISTRY = re.compile(
    r"\b(?:pypi\.org|test\.pypi\.org|pythonhosted\.org|repo1?\.maven\.(?:apache\.)?org|registry\.npmjs\.org|proxy\.golang\.org"
    r"|(?:index|registry-1|hub)\.docker\.(?:io|com)|ghcr\.io|quay\.io)\b|https?://[^\s/\"']*(?:artifactory|nexus|mirror)"
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
