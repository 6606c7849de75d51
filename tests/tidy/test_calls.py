from __future__ import annotations

import pytest

from tests.tidy import calls
from tests.tidy.source import module_of, source_files


def test_no_module_sleeps_unless_it_may() -> None:
    found = [
        finding
        for file in source_files()
        for finding in calls.findings(file.read_text(encoding="utf-8"), module_of(file))
    ]
    assert found == []


def test_every_module_that_may_sleep_does() -> None:
    """One that no longer needs it must not stay on the list."""
    modules = {module_of(file): file.read_text(encoding="utf-8") for file in source_files()}
    for allowed in calls.SLEEP_ALLOWED:
        sources = [
            text for module, text in modules.items() if f"{module}.".startswith(f"{allowed}.")
        ]
        assert any(calls.findings(text, "elsewhere") for text in sources), allowed


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(1)",
        "from time import sleep",
        "pause = time.sleep",
        "self._host.sleep(1)",
    ],
)
def test_checker_finds_the_sleep(source: str) -> None:
    assert len(calls.findings(source, "weft.client")) == 1
    assert calls.findings(source, "weft.log.embedded._x") == []


@pytest.mark.parametrize(
    "source", ["threading.Thread(target=f)", "from threading import Event", "threading.Event()"]
)
def test_checker_finds_threads_that_pass_the_host_by(source: str) -> None:
    assert len(calls.findings(source, "weft.worker._x")) == 1
    assert calls.findings(source, "weft.metrics") == []


@pytest.mark.parametrize("source", ["await asyncio.sleep(1)", "ctx.sleep(1)", "time.monotonic()"])
def test_checker_lets_other_calls_pass(source: str) -> None:
    assert calls.findings(f"async def f():\n    {source}", "weft.client") == []
