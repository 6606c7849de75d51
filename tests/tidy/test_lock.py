from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.source import CHECKOUT

LOCK = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)


def pinned(lock: str) -> dict[str, str]:
    """Versions by name."""
    return {str(canonicalize_name(name)): version for name, version in _PIN.findall(lock)}


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for, to run, to build and to develop."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = (
        project["project"]["dependencies"],
        project["build-system"]["requires"],
        project["dependency-groups"]["dev"],
    )
    return [Requirement(text) for group in groups for text in group]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_lock_has_a_version_that_fits(requirement: Requirement) -> None:
    """When it has not: `make lock`."""
    version = pinned(LOCK).get(str(canonicalize_name(requirement.name)))
    assert version is not None
    assert requirement.specifier.contains(version)


def test_lock_has_hashes_and_no_addresses() -> None:
    blocks = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(blocks) == len(pinned(LOCK))
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "//" not in LOCK
