"""Which files are looked at, and what becomes of those that are no Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.lint.kit import report_on
from weft.errors import UsageError
from weft.lint import lint

FLOW = "from weft import workflow\n@workflow.define\nasync def flow(ctx):\n    open('x')\n"


def test_environments_and_hidden_folders_are_left_out(tmp_path: Path) -> None:
    skipped = (".venv/a.py", "env/a.py", "__pycache__/a.py", "node_modules/a.py", "x/build/a.py")
    files = dict.fromkeys(("a.py", "x/y/a.py", *skipped), FLOW)
    report = report_on(tmp_path, {**files, "env/pyvenv.cfg": "", "x/notes.txt": "no python("})
    assert [Path(one.file).relative_to(tmp_path).as_posix() for one in report.findings] == [
        "a.py",
        "x/y/a.py",
    ]
    assert (report.files, report.workflows) == (2, 2)
    assert report.summary() == "2 findings: 2 workflows in 2 files"


def test_file_that_is_given_is_looked_at_whatever_it_is_called(tmp_path: Path) -> None:
    script = tmp_path / "flow"
    script.write_text(FLOW, encoding="utf-8")
    report = lint([script, script, tmp_path / "flow"])
    assert (len(report.findings), report.files) == (1, 1)


@pytest.mark.parametrize(
    "data,why",
    [
        (b"def f(:\n", "no valid Python: invalid syntax"),
        (b"x = 1\ny = (\n", "no valid Python: '(' was never closed"),
        (b"\xff\xfe\x00", "no valid Python"),
        (b"x = '\x00'\n", "null bytes"),
        (b"# coding: nonsense\n", "no valid Python"),
        (b"x = " + b"-" * 100_000 + b"1\n", "nested too deeply|no valid Python"),
        (b"x = " + b"1+" * 50_000 + b"1\n", "nested too deeply"),
    ],
)
def test_file_that_is_no_python_is_told_and_the_others_are_looked_at(
    tmp_path: Path, data: bytes, why: str
) -> None:
    (tmp_path / "a.py").write_text(FLOW, encoding="utf-8")
    (tmp_path / "bad.py").write_bytes(data)
    report = lint([tmp_path])
    assert [one.code for one in report.findings] == ["WEFT106"]
    (unreadable,) = report.unreadable
    assert any(part in unreadable.why for part in why.split("|")), unreadable.why
    assert str(unreadable).startswith(f"{(tmp_path / 'bad.py').as_posix()}:")
    assert report.summary() == "1 finding: 1 workflow in 1 file; 1 file could not be read"


def test_encoding_of_a_file_is_its_own(tmp_path: Path) -> None:
    source = f"# coding: latin-1\n{FLOW}    'é'; open('é')  # weft: ignore[WEFT106]\n"
    (tmp_path / "a.py").write_bytes(source.encode("latin-1"))
    assert [(one.code, one.line) for one in lint([tmp_path]).findings] == [("WEFT106", 5)]


def test_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file or folder"):
        lint([tmp_path / "nothing.py"])
    with pytest.raises(UsageError, match="There are no Python files in"):
        lint([tmp_path])
