"""Commands about what workers put aside: `weft deadletters list|show|replay`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from weft.cli._context import Common, command
from weft.cli._output import time_text
from weft.cli._parse import duration
from weft.client import Client, DeadLetter
from weft.errors import UsageError, WeftError

_PLACE = re.compile(r"(?:.+-)?(\d+)@(\d+)")
_LIMIT = 100
_REPLAYED_TEXT = {True: "replayed", False: "open"}

PlaceArgument = Annotated[
    str, typer.Argument(metavar="PARTITION@OFFSET", help="Where it stands, as `list` shows it.")
]
TopicOption = Annotated[
    str, typer.Option("--topic", help="Only what came on this topic (signals, results, ...).")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Only those whose reason holds this.")
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="DURATION", help="Only what was put aside no longer ago."),
]


def register(app: typer.Typer) -> None:
    """Add `weft deadletters ...` to the command line."""
    letters = typer.Typer(
        help="See what workers could not use, and write it again.", no_args_is_help=True
    )
    command(letters, "list")(list_letters)
    command(letters, "show")(show)
    command(letters, "replay")(replay)
    app.add_typer(letters, name="deadletters")


async def list_letters(
    common: Common,
    topic: TopicOption = "",
    reason: ReasonOption = "",
    since: SinceOption = None,
    open: Annotated[
        bool, typer.Option("--open", help="Only those that were not replayed.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="At most so many: the newest.")
    ] = _LIMIT,
) -> None:
    """List what was put aside, newest last. A replay leaves a letter here, and marks it."""
    async with common.client() as client:
        found = await client.deadletters(
            topic=topic,
            reason=reason,
            since=duration(since) if since else None,
            replayed=False if open else None,
            limit=limit,
        )
    if common.output.as_json:
        common.output.document([_document(letter) for letter in found])
    elif not found:
        common.output.text("no dead letters")
    else:
        headings = ("PLACE", "TIME (UTC)", "STATUS", "CAME ON", "KEY", "REASON")
        common.output.table(headings, [_row(letter) for letter in found])


async def show(common: Common, place: PlaceArgument) -> None:
    """Show one of them whole: where it came from, why it is here, and the record itself."""
    async with common.client() as client:
        letter = await client.deadletter(*_parse_place(place))
    if common.output.as_json:
        common.output.document(_document(letter))
        return
    rows: list[tuple[str, object]] = [
        ("place", letter.place),
        ("time", letter.time),
        ("reason", letter.reason),
        ("came on", _origin(letter)),
        ("key", _text_of(letter.key)),
        *((f"header {name}", _text_of(value)) for name, value in letter.headers),
    ]
    if letter.replayed is not None:
        count = f" ({letter.replay_count} times)" if letter.replay_count > 1 else ""
        rows.append(("replayed", f"{time_text(letter.replayed)}{count}, to {letter.replayed_to}"))
    common.output.fields(rows)
    common.output.text(f"\n{_value_text(letter.value)}")


async def replay(
    common: Common,
    places: Annotated[
        list[str] | None,
        typer.Argument(metavar="PARTITION@OFFSET", help="Which ones, as `list` shows them."),
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All that were not replayed yet.")] = False,
    topic: TopicOption = "",
    reason: ReasonOption = "",
    since: SinceOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: do not ask.")] = False,
    key: Annotated[
        str | None, typer.Option("--key", metavar="ID", help="Mend the key: a workflow's ID.")
    ] = None,
    value: Annotated[
        str | None,
        typer.Option("--value", metavar="JSON", help="Mend the value (@FILE: what is in a file)."),
    ] = None,
) -> None:
    """Write records to their topics again, on the right partition. What is in vain comes back as a new dead letter."""
    _check_choice(places, all=all, filtered=bool(topic or reason or since))
    if (key is not None or value is not None) and len(places or []) != 1:
        raise UsageError("--key and --value mend one record: name one PARTITION@OFFSET.")
    new_value = _bytes_of(value) if value is not None else None
    async with common.client() as client:
        if all:
            letters = await client.deadletters(
                topic=topic,
                reason=reason,
                since=duration(since) if since else None,
                replayed=False,
            )
        else:
            letters = [await client.deadletter(*_parse_place(one)) for one in places or []]
        if dry_run:
            _show_plan(common, letters)
            return
        if all and letters and not yes:
            _confirm(common, letters)
        answers = [await _replay_one(client, letter, key, new_value) for letter in letters]
    _show_answers(common, answers)


def _check_choice(places: Sequence[str] | None, *, all: bool, filtered: bool) -> None:
    if bool(places) == all:
        raise UsageError("replay needs either PARTITION@OFFSET, or --all.")
    if filtered and not all:
        raise UsageError("--topic, --reason and --since go with --all.")


def _confirm(common: Common, letters: Sequence[DeadLetter]) -> None:
    if common.output.as_json or not sys.stdin.isatty():
        raise UsageError(
            f"{len(letters)} dead letters would be replayed: say --yes, or --dry-run to see which."
        )
    typer.confirm(f"Replay {len(letters)} dead letters?", abort=True, err=True)


async def _replay_one(
    client: Client, letter: DeadLetter, key: str | None, value: bytes | None
) -> dict[str, str | None]:
    """Where it was written to, or why it was not: the others are replayed all the same."""
    try:
        place: str | None = await client.replay(letter, key=key, value=value)
    except WeftError as error:
        return {"place": letter.place, "replayed_to": None, "why_not": str(error)}
    return {"place": letter.place, "replayed_to": place, "why_not": None}


def _show_plan(common: Common, letters: Sequence[DeadLetter]) -> None:
    if common.output.as_json:
        common.output.document([_document(letter) for letter in letters])
        return
    for letter in letters:
        common.output.text(f"{letter.place} to {letter.topic}, key {_text_of(letter.key)}")
    common.output.text(f"{len(letters)} would be replayed")


def _show_answers(common: Common, answers: Sequence[dict[str, str | None]]) -> None:
    failed = [answer for answer in answers if answer["why_not"] is not None]
    if common.output.as_json:
        common.output.document(answers)
    else:
        for answer in answers:
            if answer["replayed_to"] is not None:
                common.output.text(f"{answer['place']} to {answer['replayed_to']}")
        for answer in failed:
            common.output.note(f"{answer['place']}: {answer['why_not']}")
        common.output.text(f"{len(answers) - len(failed)} replayed")
    if failed:
        raise typer.Exit(1)


def _parse_place(text: str) -> tuple[int, int]:
    """`2@17`, also with the topic before it."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no place of a dead letter: write PARTITION@OFFSET, as 2@17.")
    return int(found[1]), int(found[2])


def _bytes_of(text: str) -> bytes:
    """What is typed, or what is in a file or on standard input; checked where it is used."""
    if not text.startswith("@"):
        return text.encode()
    try:
        return sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"--value: {text[1:]} cannot be read: {error}") from None


def _origin(letter: DeadLetter) -> str:
    return f"{letter.topic}-{letter.topic_partition}@{letter.topic_offset}"


def _row(letter: DeadLetter) -> tuple[object, ...]:
    status = _REPLAYED_TEXT[letter.replay_count > 0]
    return (
        letter.place,
        letter.time,
        status,
        _origin(letter),
        _text_of(letter.key),
        letter.reason,
    )


def _document(letter: DeadLetter) -> dict[str, Any]:
    """What a program gets: `value` when it is JSON, `value_hex` when it is not."""
    value, value_hex = _value_of(letter.value)
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "time": letter.time,
        "reason": letter.reason,
        "topic": letter.topic,
        "topic_partition": letter.topic_partition,
        "topic_offset": letter.topic_offset,
        "key": None if letter.key is None else letter.key.decode(errors="replace"),
        "value": value,
        "value_hex": value_hex,
        "headers": {name: (data or b"").decode(errors="replace") for name, data in letter.headers},
        "replay_count": letter.replay_count,
        "replayed": letter.replayed,
        "replayed_to": letter.replayed_to,
    }


def _value_of(value: bytes | None) -> tuple[Any, str | None]:
    if value is None:
        return None, None
    try:
        return msgspec.json.decode(value), None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, value.hex()


def _value_text(value: bytes | None) -> str:
    """JSON on several lines, other text as it is, everything else in hexadecimal."""
    if value is None:
        return "(no value)"
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.format(value, indent=2).decode()
    with suppress(UnicodeDecodeError):
        return value.decode()
    return value.hex(" ")


def _text_of(data: bytes | None) -> str:
    return "-" if data is None else data.decode(errors="backslashreplace")
