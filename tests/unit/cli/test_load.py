"""What a worker finds in a user's file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.cli._load import load
from weft.errors import UsageError

APP = """
from __future__ import annotations
from dataclasses import dataclass
from weft import activity, workflow

@dataclass
class Order:
    id: str

@activity.define
async def ship(order: Order) -> str:
    return order.id

again = ship

@workflow.define
async def fulfil(ctx: workflow.Context, order: Order) -> str:
    return await ctx.execute_activity(ship, order)
"""


@pytest.fixture(autouse=True)
def clean_imports() -> Iterator[None]:
    """What a test imports is forgotten after it."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def names(target: str) -> tuple[list[str], list[str]]:
    found = load(target)
    return [one.name for one in found.workflows], [one.name for one in found.activities]


def test_file_gives_its_definitions_each_once(folder: Path) -> None:
    write(folder / "orders_app.py", APP)
    assert names("orders_app.py") == (["fulfil"], ["ship"])
    assert load("orders_app.py").activities[0].decode_input is not None


def test_definitions_imported_into_the_file_count_too(folder: Path) -> None:
    write(folder / "sub" / "steps_app.py", APP)
    write(folder / "sub" / "main_app.py", "from steps_app import fulfil, ship\n")
    assert names("sub/main_app.py") == (["fulfil"], ["ship"])


def test_file_inside_of_a_package_imports_its_relatives(folder: Path) -> None:
    write(folder / "shop_package" / "__init__.py", "")
    write(folder / "shop_package" / "steps.py", APP)
    write(folder / "shop_package" / "main.py", "from .steps import fulfil\n")
    assert names(str(folder / "shop_package" / "main.py")) == (["fulfil"], [])
    assert names("shop_package.steps") == (["fulfil"], ["ship"])


def test_module_is_imported_by_its_dotted_name_from_the_working_directory(folder: Path) -> None:
    write(folder / "dotted_app" / "steps.py", APP)
    assert names("dotted_app.steps") == (["fulfil"], ["ship"])


def test_file_may_have_the_name_of_another_module(folder: Path) -> None:
    before = sys.modules["json"]
    write(folder / "json.py", APP)
    assert names("./json.py") == (["fulfil"], ["ship"])
    assert sys.modules["json"] is before


@pytest.mark.parametrize(
    "text, problem",
    [
        ("x = 1", r"has no workflow and no activity at its top level"),
        ("def f(:\n", r"cannot be imported: SyntaxError: .*line 1"),
        ("x = 1\nimport nothing_at_all", r"ModuleNotFoundError: .* \(wrong_app.py, line 2\)"),
        ("\n\nraise SystemExit(3)", r"cannot be imported: SystemExit: 3 \(wrong_app.py, line 3\)"),
        (
            "from weft import workflow\n@workflow.define\ndef f(ctx): pass\n",
            r"workflow f is neither `async def` nor a generator",
        ),
    ],
)
def test_file_that_cannot_be_served_says_why(folder: Path, text: str, problem: str) -> None:
    target = write(folder / "wrong_app.py", text)
    with pytest.raises(UsageError, match=problem):
        load(target)
    assert "wrong_app" not in sys.modules or text == "x = 1"


def test_target_that_is_not_there_says_so() -> None:
    with pytest.raises(UsageError, match=r"There is no file nothing.py"):
        load("nothing.py")
    with pytest.raises(UsageError, match=r"nothing_here cannot be imported: ModuleNotFoundError"):
        load("nothing_here")
