"""docs/comparison.md counts what it shows, ours runs, and the others' was imported with the package it is for."""

from __future__ import annotations

import ast
import importlib.util
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.comparison import (
    CHECKED,
    FOLDER,
    PACKAGES,
    PAGE,
    SYSTEMS,
    TASKS,
    checked,
    count,
    digest,
    import_snippets,
    python_of,
    snippet,
    written,
)
from tests.support.documents import Shell
from weft.errors import WorkflowFailedError
from weft.testing import Environment


def load(task: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{task}_of_the_page", FOLDER / task / "weft.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_what_the_snippets_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "python -m tests.support.comparison writes it anew"
    assert page.count("<details>") == len(TASKS) * len(PACKAGES)


def test_page_follows_when_a_snippet_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    real = snippet
    monkeypatch.setattr(
        "tests.support.comparison.snippet",
        lambda task, system: real(task, system) + "x = 1\n" * ((task, system) == ("saga", "dbos")),
    )
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) != page


def test_count_leaves_out_blank_lines_and_comments() -> None:
    assert count("# one\n\nx = 1  # two\n    # three\nif x:\n    pass\n") == 3


def test_every_task_has_every_system_and_nothing_else() -> None:
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py")}
    assert files == {f"{task}/{system}.py" for task in TASKS for system in SYSTEMS}


@pytest.mark.parametrize("task", TASKS)
def test_ours_is_the_shortest(task: str) -> None:
    counts = {system: count(snippet(task, system)) for system in SYSTEMS}
    others = [counts[system] for system in PACKAGES]
    if task == "tests":  # Restate's has one of the two tests, as the page says
        others.remove(counts["restate"])
        assert snippet(task, "restate").count("def test_") == 1
    assert counts["weft"] < min(others)


@pytest.mark.parametrize("system", PACKAGES)
def test_snippets_of_the_others_were_imported(system: str) -> None:
    how = "python -m tests.support.comparison --check imports them again"
    wanted = {"package": PACKAGES[system]} | {task: digest(task, system) for task in TASKS}
    assert checked()[system] == wanted, how
    for task in TASKS:
        ast.parse(snippet(task, system))
    if python_of(system).exists():
        assert import_snippets(system, python_of(system)) == ""


def test_importing_finds_what_a_package_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    python = Path(sys.executable)
    code = "from json import no_such_thing\n"
    monkeypatch.setattr("tests.support.comparison.snippet", lambda *_: code)
    assert "no_such_thing" in import_snippets("dbos", python)
    assert set(checked()) == set(PACKAGES), CHECKED


def test_hello_greets(env: Environment) -> None:
    assert env.start(load("hello").hello, "Ada").result() == "Hello, Ada!"


def test_retry_keeps_to_its_policy(env: Environment) -> None:
    module = load("retry")
    env.fake(module.charge, *[ConnectionError("down")] * 9, "receipt for order-1")
    assert env.start(module.pay, "order-1").result() == "receipt for order-1"
    seconds = (1 + 2 + 4 + 8 + 16) + 4 * 30
    assert abs(env.elapsed - timedelta(seconds=seconds)) <= timedelta(seconds=seconds / 2)
    env.fake(module.charge, module.CardDeclined("no money"))
    with pytest.raises(WorkflowFailedError, match="no money"):
        env.start(module.pay, "order-2").result()
    assert len(env.calls(module.charge)) == 10 + 1


def test_parallel_steps_run_at_once(env: Environment) -> None:
    module = load("parallel")
    env.fake(module.pick, lambda line: f"{line} picked", takes=timedelta(minutes=5))
    run = env.start(module.fulfil, ["a lamp", "a chair"])
    env.advance(timedelta(minutes=1))
    assert len(env.calls(module.pick)) == 2
    assert run.result() == ["a lamp picked", "a chair picked"]


def test_saga_gives_back_last_first(env: Environment) -> None:
    module = load("saga")
    assert env.start(module.travel, ["a flight", "a hotel"]).result() == "2 booked"

    def no_hotels(part: str) -> str:
        if part == "a hotel":
            raise ConnectionError("down")
        return part

    env.fake(module.book, no_hotels)
    with pytest.raises(WorkflowFailedError):
        env.start(module.travel, ["a flight", "a hotel", "a car"]).result()
    undone = [call.arguments[0] for call in env.calls(module.give_back)]
    assert undone == ["a hotel", "a flight"]


def test_tests_of_the_page_pass(tmp_path: Path) -> None:
    (tmp_path / "approval.py").write_text(snippet("approval", "weft"), encoding="utf-8")
    (tmp_path / "test_approval.py").write_text(snippet("tests", "weft"), encoding="utf-8")
    said = Shell(tmp_path).run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"])
    assert "2 passed" in said
