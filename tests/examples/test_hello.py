from __future__ import annotations

import asyncio
from pathlib import Path

from examples.hello.hello import greet, hello

from tests.support.runs import DrivenRun

SOURCE = Path(__file__).parents[2] / "examples" / "hello" / "hello.py"


def test_hello_fits_in_less_than_15_lines() -> None:
    assert len(SOURCE.read_text(encoding="utf-8").splitlines()) < 15


def test_activity_is_still_a_plain_function() -> None:
    assert asyncio.run(greet("Ada")) == "Hello, Ada!"


def test_hello_greets() -> None:
    with DrivenRun(hello, "Ada") as run:
        assert run.inputs == [["Ada"]]
        run.complete("greet", "Hello, Ada!")
        assert run.result == "Hello, Ada!"
