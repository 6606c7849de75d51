from __future__ import annotations

from pathlib import Path

import pytest

from tests.tidy import texts
from tests.tidy.source import files, name_of

HERE = Path(__file__).resolve()


def test_no_file_names_a_path_of_one_machine_or_a_registry() -> None:
    """All but this one, whose bad examples are the point."""
    found = [
        finding
        for file in files()
        if file != HERE
        for finding in texts.findings(
            file.read_text(encoding="utf-8", errors="replace"), name_of(file)
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'path = "/root/weft/log"',
        "cd /home/ada/weft",
        "(/work/main)",
        "/Users/ada/weft",
        "see https://pypi.org/project/weft",
        "--index-url https://mirror.example.com/simple",
        "<url>https://repo1.maven.org/maven2</url>",
        "<url>https://repo.maven.apache.org/maven2</url>",
        "image: ghcr.io/someone/kafka",
        "https://files.pythonhosted.org/packages/x.whl",
    ],
)
def test_checker_finds_the_line(line: str) -> None:
    (finding,) = texts.findings(f"good\n{line}\n", "x")
    assert finding.startswith("x:2 names ")


@pytest.mark.parametrize(
    "line",
    [
        "topics/weft/log, /tmp, ./work/x and src/home/x",
        "${HOME}/root/x or ~/work/x",
        'xmlns="http://maven.apache.org/POM/4.0.0"',
        "image: apache/kafka:4.3.0",
        "http://127.0.0.1:8080/healthz",
    ],
)
def test_checker_lets_the_line_pass(line: str) -> None:
    assert texts.findings(line, "x") == []
