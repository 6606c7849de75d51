"""Where the log is and how to reach it: from options, the environment (`WEFT_*`), and a file.

An option wins over the environment, the environment over the file, the file over the defaults. The file is
`weft.toml` in the working directory, or what `--config` names:

    kafka = "broker:9093"
    namespace = "shop"

    [kafka_config]
    "security.protocol" = "SASL_SSL"
    "sasl.mechanism" = "SCRAM-SHA-512"
    "sasl.username" = "shop"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from weft.errors import UsageError
from weft.log import Log, open_log

CONFIG_FILE = Path("weft.toml")
EMBEDDED_FILE = Path(".weft") / "dev.weft"


class Settings(BaseSettings):
    """One value each; `kafka` decides whether the log is Kafka or the embedded file."""

    model_config = SettingsConfigDict(env_prefix="WEFT_", extra="ignore", toml_file=CONFIG_FILE)

    kafka: str | None = Field(None, description="Kafka's bootstrap servers, host:port by comma.")
    file: Path = Field(EMBEDDED_FILE, description="The embedded log, where no Kafka is named.")
    namespace: str = Field("default", description="The prefix of all topics.")
    kafka_config: dict[str, str] = Field(
        default_factory=dict,
        description="Further settings of the Kafka clients by librdkafka's names; in the environment as JSON.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))

    def open_log(self, *, may_create: bool = False) -> Log:
        """The log that these settings name. `may_create`: an embedded one that is not there yet is made."""
        if self.kafka:
            return open_log(kafka=self.kafka, kafka_config=self.kafka_config)
        if may_create:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        elif not self.file.exists():
            raise UsageError(
                f"No Kafka is named (--kafka, WEFT_KAFKA), and there is no embedded log at {self.file}. "
                "`weft dev FILE` makes one."
            )
        return open_log(embedded=self.file)


def load_settings(options: Mapping[str, Any], config_file: Path | None = None) -> Settings:
    """Settings with these options on top (None: not given). Raises UsageError naming what does not fit."""
    given = {name: value for name, value in options.items() if value is not None}
    if "file" in given and "kafka" not in given:
        given["kafka"] = (
            None  # an option wins: the file was named, so the environment's broker is not meant
        )
    if config_file is not None and not config_file.exists():
        raise UsageError(f"There is no configuration file {config_file}.")
    try:
        return _settings_class(config_file)(**given)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise UsageError(f"These settings cannot be used: {problems}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{config_file or CONFIG_FILE} is no TOML: {error}") from None
    except ValueError as error:
        raise UsageError(f"These settings cannot be used: {error}") from None


def _settings_class(config_file: Path | None) -> type[Settings]:
    if config_file is None:
        return Settings
    config = SettingsConfigDict(env_prefix="WEFT_", extra="ignore", toml_file=config_file)
    return type("Settings", (Settings,), {"model_config": config})
