"""docs/reference says what the docstrings say, and every public name has one."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support import reference
from tests.support.reference import FOLDER, PAGES, exported, missing_docstrings, packages, texts


def test_pages_are_what_the_docstrings_say() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    wanted = texts()
    stale = [name for name in wanted.keys() | found.keys() if found.get(name) != wanted.get(name)]
    assert stale == [], "`make reference` writes them anew"


def test_every_public_name_has_a_docstring() -> None:
    assert list(missing_docstrings()) == []


def test_name_without_a_docstring_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    saga = exported("weft.workflow")["Saga"]
    before = set(missing_docstrings())
    monkeypatch.setattr(saga, "docstring", None)
    monkeypatch.setattr(saga.members["on_failure"], "docstring", None)
    found = [name for name in missing_docstrings() if name not in before]
    assert found == ["weft.workflow.Saga", "weft.workflow.Saga.on_failure"]


@pytest.mark.parametrize("package", PAGES)
def test_names_with_a_place_on_a_page_are_exported(package: str) -> None:
    page = PAGES[package]
    names = {str(name) for name in reference._load(package).exports or ()}
    assert {*page.first, *page.made, *page.hidden} <= names
    assert not page.hidden & {*page.first, *page.made}


def test_every_signature_is_python() -> None:
    for package in packages():
        for block in re.findall(r"```python\n(.*?)```", reference.text_of(package), re.DOTALL):
            for code in _statements(block):
                ast.parse(code)


def test_signature_keeps_kinds_and_defaults_of_parameters() -> None:
    page = reference.text_of("weft.activity")
    assert "define(function: Callable[P, R], /) -> Activity[P, R]\n" in page
    assert "heartbeat(details: object = None) -> None\n" in page
    assert "Retry(\n    max_attempts: int = 3,\n" in page
    client = reference.text_of("weft.client")
    assert "async suspend(reason: str = '', *, timeout_s: float = READ_TIMEOUT_S" not in client
    assert "async suspend(reason: str = '', *, timeout_s: float = WAIT_S) -> None\n" in client


def _statements(block: str) -> list[str]:
    """Each signature as a definition, whose parameters Python can read."""
    found = []
    for line in re.split(r"\n(?=\S)(?!\))", block.strip()):
        if line.startswith("class "):
            found.append(f"{line}: ...")
        elif re.match(r"\w+(:| =)", line):
            found.append(line)
        else:
            found.append(f"def {line.removeprefix('async ')}: ...")
    return found
