"""Links between our documents lead somewhere, with their anchors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tests.tidy.source import files, name_of

DOCUMENTS = [path for path in files() if path.suffix == ".md"]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def dead_links(document: Path) -> list[str]:
    """Relative links of a document that lead nowhere."""
    text = _CODE.sub("", document.read_text(encoding="utf-8"))
    found = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def anchors(document: Path) -> set[str]:
    """The headings, as GitHub makes anchors of them."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    found: set[str] = set()
    for heading in headings:
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        equal = sum(one == anchor or bool(re.fullmatch(rf"{anchor}-\d+", one)) for one in found)
        found.add(f"{anchor}-{equal}" if equal else anchor)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    assert dead_links(document) == []


def test_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A head\n[a](page.md#a-head) [b](#b) [c](no.md) `[d](no.md)` [e](x://y)\n")
    assert dead_links(page) == ["#b", "no.md"]
    assert (ROOT / "README.md") in DOCUMENTS
