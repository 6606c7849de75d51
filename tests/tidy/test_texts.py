from __future__ import annotations

import os

import pytest

from tests.tidy import texts
from tests.tidy.source import files, name_of


def test_no_file_names_a_path_of_one_machine_or_a_registry() -> None:
    found = [
        finding
        for file in files()
        for finding in texts.findings(
            file.read_text(encoding="utf-8", errors="replace"), name_of(file)
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        f'path = "{os.sep}root/weft/log"',
        f"cd {os.sep}home/ada/weft",
        f"({os.sep}work/main)",
        f"{os.sep}Users/ada/weft",
        f"--index-url https:{os.sep}{os.sep}mirror.example.com/simple",
        *(f"<url>https://{host}/x</url>" for host in texts.HOSTS),
        *(f"see files.{host}" for host in texts.HOSTS),
    ],
)
def test_checker_finds_the_line(line: str) -> None:
    (finding,) = texts.findings(f"good\n{line}\n", "x")
    assert finding.startswith("x:2 names ")


@pytest.mark.parametrize(
    "line",
    [
        f"topics/weft/log, /tmp, .{os.sep}work/x and src{os.sep}home/x",
        f"${{HOME}}{os.sep}root/x or ~{os.sep}work/x",
        "image: apache/kafka:4.3.0",
        "http://127.0.0.1:8080/healthz",
    ],
)
def test_checker_lets_the_line_pass(line: str) -> None:
    assert texts.findings(line, "x") == []
