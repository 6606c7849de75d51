from __future__ import annotations

from pathlib import Path

import pytest

from tests.tidy import layout
from tests.tidy.source import CHECKOUT, ROOTS


@pytest.mark.parametrize("root", ROOTS)
def test_source_root_holds_whole_packages_of_the_namespace(root: str) -> None:
    assert layout.findings(CHECKOUT / root) == []


@pytest.mark.parametrize("folder", [*ROOTS, "deploy"])
def test_folder_says_in_ten_lines_what_its_layer_is(folder: str) -> None:
    lines = (CHECKOUT / folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert 3 <= len(lines) <= 15


@pytest.fixture
def root(tmp_path: Path) -> Path:
    package = tmp_path / "topics" / "weft" / "log"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "py.typed").touch()
    return tmp_path / "topics"


def test_checker_lets_a_whole_root_pass(root: Path) -> None:
    assert layout.findings(root) == []


@pytest.mark.parametrize(
    "file,finding",
    [
        ("weft/__init__.py", "would hide the other roots"),
        ("setup.py", "only weft/ is installed"),
        ("weft/loose.py", "is in no package"),
        ("weft/codec/__init__.py", "its types are not seen"),
        ("weft/codec/py.typed", "it is no package"),
        ("weft/log/kafka/_log.py", "weft/log/kafka has no __init__.py"),
    ],
)
def test_checker_finds_what_is_wrong(root: Path, file: str, finding: str) -> None:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert finding in "\n".join(layout.findings(root))
