"""Where the log is and how a worker runs: from options, the environment (`WEFT_*`), and a file.

An option wins over the environment, the environment over the file, the file over the defaults; for `kafka_config` that
holds key by key. The file is `weft.toml` in the working directory, or what `--config` names:

    kafka = "broker:9093"
    namespace = "shop"

    [kafka_config]
    security.protocol = "SASL_SSL"
    sasl.mechanism = "SCRAM-SHA-512"
    sasl.username = "shop"

In the environment `WEFT_KAFKA_CONFIG` is a JSON object, and `WEFT_KAFKA_CONFIG__SASL_PASSWORD` one key of it
(`sasl.password`). The log is Kafka or a file: whichever of `kafka` and `file` is named nearest counts. Without a
`payload_store`, the embedded log has one beside it (`FILE.payloads`), and Kafka none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from pydantic import ByteSize, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from weft.cli._codecs import load_codecs
from weft.cli._parse import duration
from weft.errors import UsageError
from weft.log import Log, open_log
from weft.payloads import (
    PAYLOAD_BYTES_MIN,
    Compression,
    Encryption,
    PayloadCodec,
    PayloadCodecs,
)
from weft.records import PAYLOAD_BYTES_MAX
from weft.worker import HOT_MAX, LEASE_S, LEASE_S_MIN

CONFIG_FILE = Path("weft.toml")
EMBEDDED_FILE = Path(".weft") / "dev.weft"


class Settings(BaseSettings):
    """One value each; `kafka` decides whether the log is Kafka or the embedded file."""

    model_config = SettingsConfigDict(
        env_prefix="WEFT_", env_nested_delimiter="__", env_ignore_empty=True, extra="forbid"
    )

    kafka: str | None = None
    """Bootstrap servers: `host:port`, several by comma."""
    kafka_config: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Further settings of every Kafka client, by librdkafka's names."""
    file: Path = EMBEDDED_FILE
    """The embedded log, where no Kafka is named."""
    namespace: str = "default"
    payload_store: str | None = None
    """Where payloads go that no record takes: a folder, or a URL that fsspec knows."""
    payload_bytes_max: int = Field(
        default=PAYLOAD_BYTES_MAX, ge=PAYLOAD_BYTES_MIN, le=PAYLOAD_BYTES_MAX
    )
    compress_above: ByteSize | None = None
    """Payloads of more bytes are compressed, where that makes them smaller; None compresses nothing."""
    encryption_keys_file: Path | None = None
    """Keys that payloads are encrypted with: `ID BASE64` a line."""
    encryption_keys: SecretStr | None = None
    """The same as a text, with commas between; for environments without files."""
    encryption_key_id: str = ""
    """The key to encrypt with; the others only decrypt. Without it, the first."""
    encrypt_failures: bool = True
    """Whether messages and stacks of failures are encrypted as well."""
    payload_codecs: str | None = None
    """Codecs of one's own, instead of these: `module:NAME`, one or a list of them."""
    instance_id: str | None = None
    concurrency: int = Field(default=100, ge=1)
    activity_processes: int | None = Field(default=None, ge=1)
    """Processes for activities with `process=True`, of each worker process; None is one a core."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"
    drain: timedelta = timedelta(seconds=30)
    turn_max: timedelta = Field(default=timedelta(seconds=5), gt=timedelta())
    """How long a workflow's code may run without an `await` before it is interrupted."""
    lease: timedelta = Field(default=timedelta(seconds=LEASE_S), ge=timedelta(seconds=LEASE_S_MIN))
    """How long a worker that runs a long activity may be silent before the activity is run elsewhere."""

    hot_max: int = Field(default=HOT_MAX, ge=1)
    """Workflows of each partition that are kept ready in memory."""

    memory: ByteSize | None = Field(default=None, ge=1)
    """Bytes that a worker process keeps of its workflows; None is no bound."""

    @field_validator("drain", "turn_max", "lease", mode="before")
    @classmethod
    def _parse_duration(cls, value: object) -> object:
        return duration(value) if isinstance(value, str) else value

    def override(self, **options: object) -> Self:
        """With these options on top (None: not given)."""
        return self.model_copy(update=_given(options))

    def codecs(self) -> PayloadCodecs:
        """What payloads go through on their way to the log. Raises UsageError, which never shows a key."""
        if self.payload_codecs:
            return PayloadCodecs(load_codecs(self.payload_codecs), failures=self.encrypt_failures)
        codecs: list[PayloadCodec] = []
        if self.compress_above is not None:
            codecs.append(Compression(self.compress_above))
        if self.encryption_keys_file is not None:
            codecs.append(Encryption.from_file(self.encryption_keys_file, self.encryption_key_id))
        elif self.encryption_keys is not None:
            text = self.encryption_keys.get_secret_value()
            source = "encryption_keys (WEFT_ENCRYPTION_KEYS)"
            codecs.append(Encryption.from_text(text, self.encryption_key_id, source=source))
        elif self.encryption_key_id:
            raise UsageError(
                f"There are no keys for encryption_key_id={self.encryption_key_id}: name their file "
                "(WEFT_ENCRYPTION_KEYS_FILE)."
            )
        return PayloadCodecs(tuple(codecs), failures=self.encrypt_failures)

    def check_there(self) -> None:
        """Raises UsageError when neither Kafka is named nor an embedded log is there."""
        if not self.kafka and not self.file.exists():
            raise UsageError(
                f"No Kafka is named (--kafka HOST:PORT or WEFT_KAFKA), and there is no embedded log at {self.file}. "
                "`weft dev FILE` makes one and serves a file's workflows on it."
            )

    def open_log(self, *, may_create: bool = False) -> Log:
        """The log that these settings name. `may_create`: an embedded one that is not there yet is made.

        Raises UsageError, and LogUnavailableError when it cannot be reached.
        """
        if self.kafka:
            return open_log(kafka=self.kafka, kafka_config=self.kafka_config)
        if may_create:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        else:
            self.check_there()
        return open_log(embedded=self.file)


def load_settings(options: Mapping[str, Any], config_file: Path | None = None) -> Settings:
    """Settings with these options on top (None: not given). Raises UsageError naming what does not fit."""
    if config_file is not None and not config_file.is_file():
        raise UsageError(f"There is no settings file {config_file}.")
    toml_file = config_file or CONFIG_FILE

    class Found(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic passes them by name
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                _Options(settings_cls, _given(options)),
                _Environment(settings_cls),
                _File(settings_cls, toml_file),
            )

    try:
        return Found()
    except ValidationError as error:
        raise UsageError(f"These settings cannot be used: {_problems(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{toml_file} is no TOML: {error}") from None
    except SettingsError as error:
        raise UsageError(
            f"These settings cannot be used: {error}. WEFT_KAFKA_CONFIG is a JSON object."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{toml_file} cannot be read: {error}") from None


class _Source(PydanticBaseSettingsSource):
    """Values of one place, made comparable with those of the others before they are laid over one another."""

    place: str

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = super().__call__()  # type: ignore[safe-super]  # mixed into real sources
        if "kafka_config" in found:
            found["kafka_config"] = _by_kafkas_names(found["kafka_config"], self.place)
        if found.get("kafka") and found.get("file"):
            raise UsageError(
                f"{self.place} names both Kafka ({found['kafka']}) and an embedded log ({found['file']}): the log is "
                "one of them."
            )
        if self.current_state.get("kafka") or self.current_state.get("file"):
            found.pop("kafka", None)
            found.pop("file", None)
        return found


class _Options(_Source, InitSettingsSource):
    place = "the command line"


class _Environment(_Source, EnvSettingsSource):
    place = "the environment"


class _File(_Source, TomlConfigSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings], file: Path) -> None:
        super().__init__(settings_cls, file)
        self.place = str(file)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _by_kafkas_names(settings: object, place: str, prefix: str = "") -> dict[str, Any]:
    """`sasl.username` from a nested table or from `sasl_username`: shells take no dots in names."""
    if not isinstance(settings, Mapping):
        raise UsageError(f"kafka_config in {place} must be a table of names and values.")
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = prefix + str(key).replace("_", ".")
        if isinstance(value, Mapping):
            found |= _by_kafkas_names(value, place, f"{name}.")
        else:
            found[name] = value
    return found


def _problems(error: ValidationError) -> str:
    texts = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = ", ".join(Settings.model_fields)
            texts.append(f"there is no setting {name} (there are {known})")
        else:
            texts.append(
                f"{name} (from an option, WEFT_{name.upper()} or the settings file): {problem['msg']}"
            )
    return "; ".join(texts)
