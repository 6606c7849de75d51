"""The workflows that one worker has: several versions of a name side by side.

A run stays on the version that it started with, and a new one gets the newest. Newest is the highest: numbers within a
version count as numbers (`10` comes after `9`, `2.10` after `2.9`, `v2` after `v1`), what is longer comes after what it
begins with, and a definition without a version comes before all that have one.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from weft.errors import UsageError
from weft.workflow._definition import Workflow

_NAME_LENGTH_MAX = 255
"""Of a name or a version in a text: a start may name anything, of any length."""
_PARTS = re.compile(r"\d+|\D+")


def version_key(version: str) -> tuple[tuple[bool, int, str], ...]:
    """By this, versions are in their order."""
    return tuple(
        (True, int(part), "") if part.isdecimal() else (False, 0, part)
        for part in _PARTS.findall(version)
    )


@functools.lru_cache(maxsize=1000)
def _most_alike(name: str, names: tuple[str, ...]) -> str:
    """Kept, for a thousand starts may have one and the same slip; empty when none is alike."""
    return next(iter(difflib.get_close_matches(name, names, n=1)), "")


class Workflows(Mapping[str, Workflow[Any, Any]]):
    """By name, the newest version; `find` gives the others too."""

    def __init__(self, definitions: Iterable[Workflow[Any, Any]] = ()) -> None:
        """Raises UsageError for two definitions of one name and version."""
        self._by_version: dict[str, dict[str, Workflow[Any, Any]]] = {}
        for one in definitions:
            known = self._by_version.get(one.name, {}).get(one.version)
            if known is not None and known is not one:
                what = f" in version {one.version!r}" if one.version else ""
                raise UsageError(
                    f"two workflow definitions are called {one.name!r}{what}: give one of them another name with "
                    '@workflow.define(name="..."), or another version with @workflow.define(version="...")'
                )
            self.add(one)

    def add(self, definition: Workflow[Any, Any]) -> None:
        """From now on there is this one, in place of any other of its name and version."""
        by_version = {**self._by_version.get(definition.name, {}), definition.version: definition}
        ordered = sorted(by_version, key=version_key)
        self._by_version[definition.name] = {version: by_version[version] for version in ordered}

    def remove(self, definition: Workflow[Any, Any]) -> None:
        """From now on there is none of its name and version."""
        left = {**self._by_version.get(definition.name, {})}
        left.pop(definition.version, None)
        self._by_version[definition.name] = left
        if not left:
            del self._by_version[definition.name]

    def versions(self, name: str) -> Sequence[Workflow[Any, Any]]:
        """All that are called so, oldest first."""
        return list(self._by_version.get(name, {}).values())

    def find(self, name: str, version: str) -> Workflow[Any, Any] | None:
        """What a run of that version is driven by; None when it is not here.

        A run without a version belongs to the definition without one or, where that is gone, to the oldest: it is from
        before there were any. (Replay says whether that fits.)
        """
        by_version = self._by_version.get(name)
        if by_version is None:
            return None
        found = by_version.get(version)
        return found if found is not None or version else next(iter(by_version.values()))

    def chosen(self, name: str, wanted: str, *, is_required: bool = False) -> str:
        """The version of a new run: the one that is wanted, if it is here or must be it, else the newest."""
        versions = self.versions(name)
        if wanted and (is_required or any(one.version == wanted for one in versions)):
            return wanted
        return versions[-1].version if versions else ""

    def problem(self, name: str, version: str) -> str:
        """Why a run of that version cannot be driven here; empty when it can."""
        if self.find(name, version) is not None:
            return ""
        versions = self.versions(name)
        if not versions:
            known = ", ".join(sorted(self)) or "none"
            return (
                f"This worker has no workflow {name[:_NAME_LENGTH_MAX]!r} (it has: {known}).{self._meant(name)} "
                "Deploy a worker that has it; the run continues by itself then."
            )
        deployed = ", ".join(one.version or "one without a version" for one in versions)
        return (
            f"This worker has no version {version[:_NAME_LENGTH_MAX]} of workflow {name[:_NAME_LENGTH_MAX]!r} "
            f"(deployed here: {deployed}). A run stays on the version that it started with: deploy workers that have "
            "that one too; the run continues by itself then."
        )

    def _meant(self, name: str) -> str:
        """The name that is most like it, as a question; empty when none is."""
        alike = _most_alike(name[:_NAME_LENGTH_MAX], tuple(self))
        return f" Was {alike!r} meant?" if alike else ""

    def __getitem__(self, name: str) -> Workflow[Any, Any]:
        versions = self.versions(name)
        if not versions:
            raise KeyError(name)
        return versions[-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_version)

    def __len__(self) -> int:
        return len(self._by_version)


class _OneOfEach(Workflows):
    """As another mapping has them, now and later."""

    def __init__(self, workflows: Mapping[str, Workflow[Any, Any]]) -> None:
        super().__init__()
        self._workflows = workflows

    def versions(self, name: str) -> Sequence[Workflow[Any, Any]]:
        found = self._workflows.get(name)
        return [] if found is None else [found]

    def find(self, name: str, version: str) -> Workflow[Any, Any] | None:
        found = self._workflows.get(name)
        return found if found is not None and version in {"", found.version} else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._workflows)

    def __len__(self) -> int:
        return len(self._workflows)


def workflows_of(workflows: Mapping[str, Workflow[Any, Any]]) -> Workflows:
    """The same, as `Workflows`."""
    return workflows if isinstance(workflows, Workflows) else _OneOfEach(workflows)
