from __future__ import annotations

import asyncio
from pathlib import Path

from examples.hello.hello import greet, hello

from weft.testing import Environment, crash_everywhere

SOURCE = Path(__file__).parents[2] / "examples" / "hello" / "hello.py"


def test_hello_fits_in_less_than_15_lines() -> None:
    assert len(SOURCE.read_text(encoding="utf-8").splitlines()) < 15


def test_activity_is_still_a_plain_function() -> None:
    assert asyncio.run(greet("Ada")) == "Hello, Ada!"


def test_hello_greets(env: Environment) -> None:
    assert env.start(hello, "Ada").result() == "Hello, Ada!"
    assert [call.arguments for call in env.calls(greet)] == [("Ada",)]


def test_hello_greets_when_its_worker_crashes_anywhere() -> None:
    assert crash_everywhere(hello, "Ada") == "Hello, Ada!"
