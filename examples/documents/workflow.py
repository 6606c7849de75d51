"""A folder of documents, a few at a time; one that cannot be read is reported, and holds up no other.

weft dev examples/documents/workflow.py
weft start process_folder --input '{"folder": "docs", "at_once": 4}' --id docs --wait
weft query docs progress                            # meanwhile; `weft list` tells it too
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from weft import activity, workflow
from weft.activity import Retry
from weft.errors import ActivityError, Failure

DOCUMENTS_MAX = 10_000
"""Of one batch: its history has a few events for each. More than that goes into a batch of its own."""


@dataclass(frozen=True)
class Batch:
    """The documents of a folder, as the workers see it. `at_once` bounds how many are worked on together."""

    folder: str
    pattern: str = "**/*.md"
    at_once: int = 8


@dataclass(frozen=True)
class Summary:
    """What is known of a document once it was read."""

    path: str
    title: str
    words: int
    topics: list[str]


@dataclass
class Progress:
    """Also the answer to the query `progress`."""

    total: int = 0
    done: int = 0
    failed: int = 0
    under_way: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """`failed` is by path, with the reason. `stopped` says that somebody ended the batch before it was through."""

    documents: int
    words: int
    topics: dict[str, int]
    failed: dict[str, str]
    stopped: bool = False


class UnreadableDocument(Failure):
    """It is no text. Reading it again does not help."""


@activity.define
def list_documents(folder: str, pattern: str) -> list[str]:
    """Their paths, in order. What the folder holds later on makes no difference to this batch."""
    root = Path(folder)
    if not root.is_dir():
        raise Failure(f"there is no folder {folder}", type="NoFolder", non_retryable=True)
    return [str(path.relative_to(root)) for path in sorted(root.glob(pattern)) if path.is_file()]


@activity.define(
    retry=Retry(max_attempts=5, non_retryable=[UnreadableDocument, FileNotFoundError]),
    timeout=timedelta(minutes=1),
)
def summarize(folder: str, path: str) -> Summary:
    """What a document is about: a plain function, which runs in a thread of its worker."""
    try:
        text = (Path(folder) / path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableDocument(f"no text: {error.reason} at byte {error.start}") from None
    lines = text.splitlines()
    title = next((line.lstrip("# ") for line in lines if line.strip()), path)
    words = [word.strip(".,;:!?()`*\"'").lower() for word in text.split()]
    long_words = Counter(word for word in words if len(word) > 6 and word.isalpha())
    topics = sorted(long_words, key=lambda word: (-long_words[word], word))[:3]
    return Summary(path, title, len(words), topics)


@workflow.define
async def process_folder(ctx: workflow.Context, batch: Batch) -> Result:
    progress = Progress()
    ctx.on_query("progress")(lambda: progress)
    summaries: list[Summary] = []
    failed: dict[str, str] = {}
    gate = asyncio.Semaphore(batch.at_once)

    async def process(path: str) -> None:
        async with gate:
            progress.under_way.append(path)
            try:
                summaries.append(await ctx.execute_activity(summarize, batch.folder, path))
            except ActivityError as error:
                failed[path] = f"{error.type}: {error.message}"
            progress.under_way.remove(path)
            progress.done, progress.failed = len(summaries), len(failed)
            ctx.set_status(f"{len(summaries) + len(failed)} of {progress.total} documents")

    paths = await ctx.execute_activity(list_documents, batch.folder, batch.pattern)
    if len(paths) > DOCUMENTS_MAX:
        raise Failure(f"{len(paths)} documents: {DOCUMENTS_MAX} is the most", type="TooMany")
    progress.total = len(paths)
    async with ctx.cancel_scope() as scope:
        stopping = asyncio.create_task(stopped_by_signal(ctx, scope))
        await asyncio.gather(*(process(path) for path in paths))
    stopping.cancel()
    return added_up(summaries, failed, stopped=scope.cancelled)


async def stopped_by_signal(ctx: workflow.Context, scope: workflow.CancelScope) -> None:
    """`weft signal docs stop` ends the batch where it is, and what was done until then is reported."""
    await ctx.receive_signal("stop")
    scope.cancel()


def added_up(summaries: list[Summary], failed: dict[str, str], *, stopped: bool) -> Result:
    topics = Counter(topic for summary in summaries for topic in summary.topics)
    return Result(
        documents=len(summaries),
        words=sum(summary.words for summary in summaries),
        topics={
            topic: topics[topic]
            for topic in sorted(topics, key=lambda each: (-topics[each], each))[:10]
        },
        failed=dict(sorted(failed.items())),
        stopped=stopped,
    )
