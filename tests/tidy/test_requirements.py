from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

import pytest

from tests.support import requirements
from tests.support.requirements import UnknownRequirementError
from tests.tidy.source import name_of, python_files

KNOWN = {"R1-1": "starts", "R1-2": "ends", "R2-1": "waits"}


def marked(source: str, name: str) -> Iterator[tuple[str, Sequence[object]]]:
    """(line, IDs) of every use of the marker. IDs that are worked out are seen by `make requirements` only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.requirement":
            ids = [part.value for part in node.args if isinstance(part, ast.Constant)]
            yield f"{name}:{node.lineno}", ids


def test_every_marker_names_requirements_of_the_list() -> None:
    known = requirements.requirements(requirements.LIST.read_text(encoding="utf-8"))
    uses = [
        use
        for file in python_files("tests")
        for use in marked(file.read_text(encoding="utf-8"), name_of(file))
    ]
    requirements.shown_by(uses, known)


def test_list_is_complete() -> None:
    known = requirements.requirements(requirements.LIST.read_text(encoding="utf-8"))
    assert len(known) == 166
    assert set(known) == {
        f"R{part}-{number}"
        for part, count in enumerate((21, 52, 42, 51))
        for number in range(1, count + 1)
    }


def test_report_names_the_tests_and_counts_last() -> None:
    tests = requirements.shown_by([("b.py::t", ["R1-1"]), ("a.py::t", ["R1-1", "R2-1"])], KNOWN)
    assert requirements.report(tests, KNOWN).splitlines() == [
        "R1-1   starts",
        "       a.py::t",
        "       b.py::t",
        "R1-2   ends",
        "       -",
        "R2-1   waits",
        "       a.py::t",
        "",
        "2 of 3 delivered",
    ]


def test_test_with_parameters_is_one_test() -> None:
    assert requirements.shown_by([("a.py::t", ["R1-1"]), ("a.py::t", ["R1-1"])], KNOWN)["R1-1"] == [
        "a.py::t"
    ]


@pytest.mark.parametrize("requirement", ["R1-3", "R1-01", "", None])
def test_unknown_requirement_is_an_error(requirement: object) -> None:
    with pytest.raises(UnknownRequirementError, match=r"a\.py::t is marked with"):
        requirements.shown_by([("a.py::t", [requirement])], KNOWN)


def test_requirement_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        requirements.requirements("- R1-1 a\n- R1-1 b\n")


def test_checker_sees_the_marker_wherever_it_is_used() -> None:
    source = 'pytestmark = pytest.mark.requirement("R1-1")\n@pytest.mark.requirement("R1-2", NAME)\ndef test(): ...\n'
    assert list(marked(source, "a.py")) == [("a.py:1", ["R1-1"]), ("a.py:2", ["R1-2"])]
