"""Comments that silence a finding, and those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.lint.kit import codes, findings_in, in_workflow


@pytest.mark.parametrize(
    "body",
    [
        "open('x')  # weft: ignore[WEFT106]",
        "open('x')  # noqa: X1  # weft: ignore[WEFT106] because it is read-only",
        "open('x')  #weft:ignore[ WEFT106 ]",
        "open(\n    'x',\n)  # weft: ignore[WEFT106]",
        "import time\nopen(str(time.time()))  # weft: ignore[WEFT106, WEFT101]",
    ],
)
def test_finding_is_silenced_when_its_line_says_so(tmp_path: Path, body: str) -> None:
    assert findings_in(tmp_path, in_workflow(body)) == []


@pytest.mark.parametrize(
    "body,found",
    [
        ("open('x')  # weft: ignore[WEFT101]", ["WEFT106", "WEFT001"]),
        ("# weft: ignore[WEFT106]\nopen('x')", ["WEFT001", "WEFT106"]),
        ("open('x')  # weft: ignore", ["WEFT106", "WEFT002"]),
        ("open('x')  # weft: ignore[]", ["WEFT106", "WEFT002"]),
        ("open('x')  # weft: ignore[files]", ["WEFT106", "WEFT002"]),
        ("open('x')  # weft: ignore[WEFT999]", ["WEFT106", "WEFT002"]),
        ("open('x')  # weft: ignore[WEFT106, WEFT101]", ["WEFT001"]),
        ("order  # weft: ignore[WEFT106]", ["WEFT001"]),
        ("order  # weft: ignore[WEFT001]", ["WEFT002"]),
        ("'# weft: ignore[WEFT106]'; open('x')", ["WEFT106"]),
    ],
)
def test_comment_that_silences_nothing_is_itself_a_finding(
    tmp_path: Path, body: str, found: list[str]
) -> None:
    assert codes(findings_in(tmp_path, in_workflow(body))) == found


def test_comment_outside_of_workflows_is_unneeded(tmp_path: Path) -> None:
    (finding,) = findings_in(tmp_path, "open('x')  # weft: ignore[WEFT106]\n")
    assert (finding.code, finding.line, finding.column) == ("WEFT001", 2, 12)
    assert finding.message == "`# weft: ignore[WEFT106]` silences nothing on this line"
