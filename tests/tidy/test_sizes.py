from __future__ import annotations

import pytest

from tests.tidy import sizes
from tests.tidy.source import name_of, python_files

BODY = "    pass\n"


def test_files_and_their_functions_are_short_enough() -> None:
    found = [
        finding
        for file in python_files()
        for finding in sizes.findings(file.read_text(encoding="utf-8"), name_of(file))
    ]
    assert found == []


@pytest.mark.parametrize("lines,is_finding", [(800, False), (801, True)])
def test_checker_finds_a_long_file(lines: int, is_finding: bool) -> None:
    assert bool(sizes.findings("x = 1\n" * lines, "x.py")) is is_finding


@pytest.mark.parametrize("head", ["def f():\n", "async def f():\n", "@cache\n@other\ndef f():\n"])
@pytest.mark.parametrize("body_lines,is_finding", [(69, False), (70, True)])
def test_checker_finds_a_long_function(head: str, body_lines: int, is_finding: bool) -> None:
    found = sizes.findings(head + BODY * body_lines, "x.py")
    assert bool(found) is is_finding


def test_checker_finds_a_long_method_and_a_long_inner_function() -> None:
    method = "class A:\n    def f(self):\n" + "        pass\n" * 70
    inner = "def outer():\n    def inner():\n" + "        pass\n" * 70
    assert len(sizes.findings(method, "x.py")) == 1
    assert len(sizes.findings(inner, "x.py")) == 2


def test_docstring_does_not_count() -> None:
    docstring = '    """First.\n' + "    more\n" * 50 + '    """\n'
    assert sizes.findings("def f():\n" + docstring + BODY * 69, "x.py") == []
    assert len(sizes.findings("def f():\n" + docstring + BODY * 70, "x.py")) == 1
