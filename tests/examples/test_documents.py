"""A batch of documents in virtual time; then for real, on the embedded log, with a worker that is killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from examples.documents.workflow import (
    Batch,
    Progress,
    Result,
    Summary,
    list_documents,
    process_folder,
    summarize,
)

from tests.support.serving import make_topics
from tests.support.workers import worker
from weft.client import Client
from weft.errors import WorkflowFailedError
from weft.log import open_log
from weft.records import ActivityCompleted
from weft.testing import Environment, Handle, crash_everywhere

WORKFLOW = Path(__file__).parents[2] / "examples" / "documents" / "workflow.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve documents, of which one is no text."""
    root = tmp_path / "documents"
    root.mkdir()
    for number in range(11):
        text = f"# Chapter {number}\n\nA harpoon, a harpoon; the Pequod sails {'on ' * number}."
        (root / f"chapter-{number:02d}.md").write_text(text, encoding="utf-8")
    (root / "picture.md").write_bytes(b"\x89PNG\r\n")
    return root


@pytest.mark.requirement("R2-40")
def test_batch_adds_up_what_could_be_read_and_reports_the_rest(
    env: Environment, folder: Path
) -> None:
    run = env.start(process_folder, Batch(str(folder)))
    result = run.result()
    assert result.documents == 11
    assert result.words == sum(11 + number for number in range(11))
    assert result.topics == {"chapter": 11, "harpoon": 11}
    assert result.failed == {
        "picture.md": "UnreadableDocument: no text: invalid start byte at byte 0"
    }
    attempts = Counter(call.arguments[1] for call in env.calls(summarize))
    assert attempts["picture.md"] == 1, "reading it again does not help"
    assert run.custom_status == "12 of 12 documents"


def slow(env: Environment, _run: Handle[Any] | None = None) -> None:
    env.fake(list_documents, [f"{number}.md" for number in range(10)])
    env.fake(summarize, summary_of, takes=timedelta(seconds=30))


def summary_of(_folder: str, path: str) -> Summary:
    if path == "3.md":
        raise FileNotFoundError("it was deleted meanwhile")
    return Summary(path, path, 100, ["whales"])


@pytest.mark.requirement("R2-29", "R2-40")
@pytest.mark.parametrize("at_once,rounds", [(1, 10), (4, 3), (100, 1)])
def test_no_more_documents_are_under_way_than_may_be(
    env: Environment, at_once: int, rounds: int
) -> None:
    slow(env)
    run = env.start(process_folder, Batch("books", at_once=at_once))
    result = run.result()
    assert (result.documents, result.words, list(result.failed)) == (9, 900, ["3.md"])
    assert env.elapsed == rounds * timedelta(seconds=30)
    begun = Counter(call.time for call in env.calls(summarize))
    assert max(begun.values()) == min(at_once, 10)


@pytest.mark.requirement("R1-28", "R2-40")
def test_batch_ends_the_same_when_its_worker_crashes_anywhere() -> None:
    result = crash_everywhere(process_folder, Batch("books", at_once=3), play=slow)
    assert result is not None
    assert (result.documents, list(result.failed)) == (9, ["3.md"])


@pytest.mark.requirement("R2-40")
def test_batch_tells_how_far_it_is(env: Environment) -> None:
    slow(env)
    run = env.start(process_folder, Batch("books", at_once=4))
    env.advance(timedelta(seconds=45))
    progress = run.query("progress", hint=Progress)
    assert (progress.total, progress.done, progress.failed) == (10, 3, 1)
    assert progress.under_way == ["4.md", "5.md", "6.md", "7.md"]
    assert run.custom_status == "4 of 10 documents"


@pytest.mark.requirement("R2-40")
def test_batch_is_stopped_by_a_signal_and_reports_what_was_done(env: Environment) -> None:
    slow(env)
    run = env.start(process_folder, Batch("books", at_once=4))
    run.signal("stop", after=timedelta(seconds=45))
    result = run.result()
    assert (result.stopped, result.documents, list(result.failed)) == (True, 3, ["3.md"])
    assert env.elapsed == timedelta(seconds=45)


def test_batch_fails_when_there_is_no_folder(env: Environment) -> None:
    with pytest.raises(WorkflowFailedError, match="there is no folder nowhere"):
        env.start(process_folder, Batch("nowhere")).result()
    assert len(env.calls(list_documents)) == 1


def test_batch_of_nothing_is_done_at_once(env: Environment, tmp_path: Path) -> None:
    assert env.start(process_folder, Batch(str(tmp_path))).result().documents == 0


@pytest.mark.requirement("R2-2", "R2-40", "R2-42")
def test_batch_goes_on_where_it_was_when_its_worker_is_killed(tmp_path: Path) -> None:
    folder, file = tmp_path / "many", tmp_path / "log.weft"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03d}.md").write_text(f"# Page {number}\n", encoding="utf-8")

    async def run() -> tuple[Result, list[str]]:
        with (
            closing(open_log(embedded=file)) as log,
            worker("--file", str(file), "--instance-id", "w1", file=WORKFLOW) as running,
        ):
            async with Client(log) as client:
                batch = Batch(str(folder), at_once=4)
                handle = await client.start(process_folder, batch, id="many", wait_s=60)
                async with asyncio.timeout(60):
                    while (await handle.describe()).event_count < 40:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
                running.kill()
                assert await handle.status() == "running"
                folder.joinpath("late.md").write_text("too late", encoding="utf-8")
                running.restart()
                result = await handle.result(timeout=60)
                done = [
                    event.activity
                    for event in await handle.history()
                    if isinstance(event, ActivityCompleted)
                ]
                return result, done

    with closing(open_log(embedded=file)) as log:
        make_topics(log, "default")
    result, done = asyncio.run(run())
    assert (result.documents, result.words, result.failed) == (200, 600, {})
    assert Counter(done) == {"list_documents": 1, "summarize": 200}
