"""What every command shares: its settings, its output, and how its errors are told."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from weft.cli._logging import log_to_stderr
from weft.cli._output import Output
from weft.cli._parse import key_values
from weft.cli._settings import Settings, load_settings
from weft.client import Client
from weft.errors import WeftError

Function = Callable[..., Awaitable[None] | None]

_LOG = "Where the log is"
KafkaOption = Annotated[
    str | None,
    typer.Option(
        "--kafka", metavar="HOST:PORT", help="Kafka's bootstrap servers.", rich_help_panel=_LOG
    ),
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", help="The prefix of all topics.", rich_help_panel=_LOG)
]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="The embedded log, instead of Kafka.", rich_help_panel=_LOG),
]
PayloadStoreOption = Annotated[
    str | None,
    typer.Option(
        "--payload-store",
        metavar="URL",
        help="Where payloads go that no record takes: a folder, or a URL that fsspec knows (s3://BUCKET/PREFIX).",
        rich_help_panel=_LOG,
    ),
]
PayloadBytesMaxOption = Annotated[
    int | None,
    typer.Option(
        "--payload-bytes-max",
        metavar="BYTES",
        help="Larger payloads go to the payload store (default: 900000, the most that a record takes).",
        rich_help_panel=_LOG,
    ),
]
KafkaConfigOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kafka-config",
        metavar="KEY=VALUE",
        help="A setting of the Kafka clients, by librdkafka's name. May be repeated.",
        rich_help_panel=_LOG,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A settings file (default: weft.toml).", rich_help_panel=_LOG),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show tracebacks and what the libraries log.")
]


@dataclass(frozen=True, slots=True)
class Common:
    """The options that every command has, resolved."""

    settings: Settings
    output: Output
    options: frozenset[str]
    """Which of them were given on the command line."""
    debug: bool

    def client(self) -> Client:
        """A client, to be opened with `async with`. Raises UsageError when there is no log to connect to."""
        settings = self.settings
        settings.check_there()
        if settings.kafka:
            return Client.connect(
                kafka=settings.kafka,
                kafka_config=settings.kafka_config,
                namespace=settings.namespace,
                payload_store=settings.payload_store,
                payload_bytes_max=settings.payload_bytes_max,
                payload_codecs=settings.codecs(),
            )
        return Client.connect(
            embedded=settings.file,
            namespace=settings.namespace,
            payload_store=settings.payload_store,
            payload_bytes_max=settings.payload_bytes_max,
            payload_codecs=settings.codecs(),
        )


def command(app: typer.Typer, name: str) -> Callable[[Function], Callable[..., None]]:
    """Register a function as a command. Its first parameter is the `Common`; the shared options are added."""

    def register(function: Function) -> Callable[..., None]:
        def run(
            *,
            kafka: KafkaOption = None,
            namespace: NamespaceOption = None,
            file: FileOption = None,
            kafka_config: KafkaConfigOption = None,
            payload_store: PayloadStoreOption = None,
            payload_bytes_max: PayloadBytesMaxOption = None,
            config: ConfigOption = None,
            json: JsonOption = False,
            debug: DebugOption = False,
            **own: Any,
        ) -> None:
            log_to_stderr(debug=debug)
            options = {
                "kafka": kafka,
                "namespace": namespace,
                "file": file,
                "kafka_config": kafka_config,
                "payload_store": payload_store,
                "payload_bytes_max": payload_bytes_max,
            }
            _guard(
                lambda output: _call(function, options, config, output, own, debug=debug),
                Output(as_json=json),
                debug=debug,
            )

        merged = _merged(function, run)
        run.__signature__ = merged  # type: ignore[attr-defined]
        run.__annotations__ = {
            name: parameter.annotation for name, parameter in merged.parameters.items()
        }
        run.__doc__ = function.__doc__
        app.command(name)(run)
        return run

    return register


def _call(
    function: Function,
    options: dict[str, Any],
    config: Path | None,
    output: Output,
    own: dict[str, Any],
    *,
    debug: bool,
) -> None:
    given = frozenset(name for name, value in options.items() if value)
    if options["kafka_config"]:
        options["kafka_config"] = key_values(options["kafka_config"])
    common = Common(load_settings(options, config), output, given, debug)
    outcome = function(common, **own)
    if outcome is not None:
        asyncio.run(_wait(outcome))


def _guard(call: Callable[[Output], None], output: Output, *, debug: bool) -> None:
    """Tell errors in plain words; what is no error of Weft's keeps its traceback, for it is a bug."""
    try:
        call(output)
    except WeftError as error:
        if debug:
            raise
        output.error(error)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # Whoever read the output has seen enough (`weft list | head`); nothing is left to be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


async def _wait(outcome: Awaitable[None]) -> None:
    await outcome


def _merged(function: Function, run: Callable[..., None]) -> inspect.Signature:
    """The command's own parameters (without `Common`), then the shared ones, with their hints resolved."""
    own = inspect.signature(function, eval_str=True)
    shared = inspect.signature(run, eval_str=True)
    mine = list(own.parameters.values())[1:]
    common = [
        parameter
        for parameter in shared.parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in mine]
    return own.replace(parameters=keyword + common, return_annotation=None)
