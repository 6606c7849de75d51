"""What every command shares: its settings, its output, and how its errors are told."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from weft.cli._output import Output
from weft.cli._parse import key_values
from weft.cli._settings import Settings, load_settings
from weft.client import Client
from weft.errors import WeftError

P = ParamSpec("P")
T = TypeVar("T")

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
KafkaConfigOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kafka-config",
        metavar="KEY=VALUE",
        help="A setting of the Kafka clients, by librdkafka's name.",
        rich_help_panel=_LOG,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A settings file (default: weft.toml).", rich_help_panel=_LOG),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show tracebacks and the log's own messages.")
]


@dataclass(frozen=True, slots=True)
class Common:
    """The options that every command has, resolved."""

    settings: Settings
    output: Output

    def client(self) -> Client:
        """A client, to be opened with `async with`."""
        if self.settings.kafka:
            return Client.connect(
                kafka=self.settings.kafka,
                kafka_config=self.settings.kafka_config,
                namespace=self.settings.namespace,
            )
        self.settings.open_log().close()
        return Client.connect(embedded=self.settings.file, namespace=self.settings.namespace)


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., Awaitable[None] | None]], Any]:
    """Register a function as a command. Its first parameter is the `Common`; the shared options are added."""

    def register(function: Callable[..., Awaitable[None] | None]) -> Any:
        def run(
            *args: Any,
            kafka: KafkaOption = None,
            namespace: NamespaceOption = None,
            file: FileOption = None,
            kafka_config: KafkaConfigOption = None,
            config: ConfigOption = None,
            json: JsonOption = False,
            debug: DebugOption = False,
            **kwargs: Any,
        ) -> None:
            output = Output(as_json=json)
            logging.basicConfig(level=logging.INFO if debug else logging.WARNING)
            options = {
                "kafka": kafka,
                "namespace": namespace,
                "file": file,
                "kafka_config": key_values(kafka_config) if kafka_config else None,
            }
            try:
                common = Common(load_settings(options, config), output)
                outcome = function(common, *args, **kwargs)
                if outcome is not None:
                    asyncio.run(_wait(outcome))
            except WeftError as error:
                if debug:
                    raise
                output.error(error)
                raise typer.Exit(1) from None

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        merged = _merged(function, run)
        run.__signature__ = merged  # type: ignore[attr-defined]
        run.__annotations__ = {
            name: parameter.annotation for name, parameter in merged.parameters.items()
        }
        return app.command(name)(run)

    return register


async def _wait(outcome: Awaitable[None]) -> None:
    await outcome


def _merged(function: Callable[..., Any], run: Callable[..., Any]) -> inspect.Signature:
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
    return own.replace(parameters=keyword + common)
