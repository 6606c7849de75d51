"""Which of several settings counts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from weft.cli._settings import load_settings
from weft.errors import UsageError
from weft.payloads import new_key
from weft.records import PAYLOAD_BYTES_MAX


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_the_embedded_log() -> None:
    settings = load_settings({})
    assert settings.kafka is None
    assert settings.file == Path(".weft/dev.weft")
    assert settings.namespace == "default"
    assert settings.kafka_config == {}
    assert (settings.concurrency, settings.drain) == (100, timedelta(seconds=30))
    assert settings.turn_max == timedelta(seconds=5)
    assert settings.lease == timedelta(seconds=10)


def test_option_beats_environment_beats_file_beats_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "weft.toml", 'namespace = "file"\nconcurrency = 5\ndrain = "1m"\n')
    assert load_settings({}).namespace == "file"
    monkeypatch.setenv("WEFT_NAMESPACE", "environment")
    monkeypatch.setenv("WEFT_CONCURRENCY", "7")
    assert load_settings({}).namespace == "environment"
    settings = load_settings({"namespace": "option", "kafka": None})
    assert (settings.namespace, settings.concurrency) == ("option", 7)
    assert settings.drain == timedelta(minutes=1)
    assert settings.metrics_port is None


def test_payload_store_and_its_limit_are_settings_like_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings({}).payload_store is None
    assert load_settings({}).payload_bytes_max == PAYLOAD_BYTES_MAX
    write(folder / "weft.toml", 'payload_store = "s3://bucket/weft"\npayload_bytes_max = 100000\n')
    assert load_settings({}).payload_store == "s3://bucket/weft"
    monkeypatch.setenv("WEFT_PAYLOAD_STORE", "/mnt/weft")
    assert load_settings({}).payload_store == "/mnt/weft"
    settings = load_settings({"payload_store": "here", "payload_bytes_max": 5000})
    assert (settings.payload_store, settings.payload_bytes_max) == ("here", 5000)
    with pytest.raises(UsageError, match=r"payload_bytes_max .*less than or equal to 900000"):
        load_settings({"payload_bytes_max": 900_001})


def test_named_file_is_read_instead_of_the_usual_one(folder: Path) -> None:
    write(folder / "weft.toml", 'namespace = "usual"')
    other = write(folder / "other.toml", 'kafka = "broker:9092"')
    settings = load_settings({}, other)
    assert (settings.kafka, settings.namespace) == ("broker:9092", "default")


def test_empty_environment_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_KAFKA", "")
    assert load_settings({}).kafka is None


def test_kafka_settings_are_laid_over_one_another_key_by_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        folder / "weft.toml",
        '[kafka_config]\nsecurity.protocol = "SASL_SSL"\n"sasl.username" = "file"\n'
        'ssl.ca.location = "file.pem"\nsession.timeout.ms = 7000\n',
    )
    monkeypatch.setenv("WEFT_KAFKA_CONFIG", '{"sasl.username": "environment", "a.b": "json"}')
    monkeypatch.setenv("WEFT_KAFKA_CONFIG__SASL_PASSWORD", "secret")
    monkeypatch.setenv("WEFT_KAFKA_CONFIG__ssl.ca.location", "environment.pem")
    settings = load_settings({"kafka": "b:1", "kafka_config": {"sasl.username": "option"}})
    assert settings.kafka_config == {
        "security.protocol": "SASL_SSL",
        "session.timeout.ms": 7000,
        "sasl.username": "option",
        "sasl.password": "secret",
        "ssl.ca.location": "environment.pem",
        "a.b": "json",
    }


def test_log_that_is_named_nearest_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "weft.toml", 'file = "file.weft"')
    monkeypatch.setenv("WEFT_KAFKA", "environment:9092")
    settings = load_settings({})
    assert (settings.kafka, settings.file) == ("environment:9092", Path(".weft/dev.weft"))
    settings = load_settings({"file": Path("option.weft")})
    assert (settings.kafka, settings.file) == (None, Path("option.weft"))
    monkeypatch.delenv("WEFT_KAFKA")
    assert load_settings({}).file == Path("file.weft")


def test_two_logs_named_in_one_place_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"kafka": "b:1", "file": Path("x.weft")}
    with pytest.raises(
        UsageError, match=r"the command line names both Kafka .* and an embedded log"
    ):
        load_settings(both)
    write(folder / "weft.toml", 'kafka = "b:1"\nfile = "x.weft"')
    with pytest.raises(UsageError, match=r"weft.toml names both"):
        load_settings({})
    monkeypatch.setenv("WEFT_KAFKA", "b:1")
    monkeypatch.setenv("WEFT_FILE", "x.weft")
    with pytest.raises(UsageError, match="the environment names both"):
        load_settings({})


@pytest.mark.parametrize(
    "text, problem",
    [
        ("namespac = 'a'", "there is no setting namespac .there are kafka, kafka_config, file"),
        (
            "concurrency = 0",
            "concurrency .from an option, WEFT_CONCURRENCY or the settings file.: ",
        ),
        ("drain = '5'", "'5' is no duration"),
        ("turn_max = '0s'", "turn_max .* greater than 0"),
        ("kafka_config = 3", "kafka_config in weft.toml must be a table"),
        ("namespace = ", "weft.toml is no TOML: Invalid value"),
    ],
)
def test_wrong_file_is_refused_with_its_reason(folder: Path, text: str, problem: str) -> None:
    write(folder / "weft.toml", text)
    with pytest.raises(UsageError, match=problem):
        load_settings({})


def test_wrong_environment_is_refused_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_KAFKA_CONFIG", "security.protocol=SSL")
    with pytest.raises(UsageError, match="WEFT_KAFKA_CONFIG is a JSON object"):
        load_settings({})
    monkeypatch.setenv("WEFT_KAFKA_CONFIG", "{}")
    monkeypatch.setenv("WEFT_METRICS_PORT", "many")
    with pytest.raises(UsageError, match="WEFT_METRICS_PORT"):
        load_settings({})


def test_file_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "weft.toml").write_bytes(b"namespace = '\xff'")
    with pytest.raises(UsageError, match=r"weft.toml cannot be read"):
        load_settings({})


def test_settings_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match=r"There is no settings file nothing.toml"):
        load_settings({}, Path("nothing.toml"))


def test_environment_of_other_tools_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_KAFKA_PORT", "19093")
    monkeypatch.setenv("WEFT_BENCH_VERBOSE", "1")
    assert load_settings({}).kafka is None


def test_override_takes_what_is_given() -> None:
    settings = load_settings({}).override(concurrency=3, instance_id=None)
    assert (settings.concurrency, settings.instance_id) == (3, None)


def test_log_that_is_not_there_is_told_and_not_made(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no embedded log at .weft/dev.weft. `weft dev FILE`"):
        load_settings({}).open_log()
    assert not (folder / ".weft").exists()
    load_settings({}).open_log(may_create=True).close()
    load_settings({}).open_log().close()
    assert (folder / ".weft" / "dev.weft").exists()


def test_memory_is_a_size_with_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings({}).memory is None, "no bound"
    monkeypatch.setenv("WEFT_MEMORY", "2GiB")
    assert load_settings({}).memory == 2 * 1024**3
    assert load_settings({"memory": 1000}).memory == 1000
    monkeypatch.setenv("WEFT_MEMORY", "0")
    with pytest.raises(UsageError, match=r"memory \(from .* greater than or equal to 1"):
        load_settings({})


def test_codecs_are_made_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [new_key("2026-01"), new_key("2025-07")]
    (tmp_path / "keys").write_text("\n".join(lines), encoding="utf-8")
    assert load_settings({}).codecs().codecs == ()
    monkeypatch.setenv("WEFT_COMPRESS_ABOVE", "4KiB")
    monkeypatch.setenv("WEFT_ENCRYPTION_KEYS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("WEFT_ENCRYPTION_KEY_ID", "2025-07")
    monkeypatch.setenv("WEFT_ENCRYPT_FAILURES", "false")
    found = load_settings({}).codecs()
    assert [codec.name for codec in found.codecs] == ["zstd", "aes-gcm"]
    assert repr(found.codecs[1]) == "<Encryption with key 2025-07 of 2026-01, 2025-07>"
    assert not found.failures


def test_keys_are_in_no_text_when_they_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = new_key("2026-01").split()[1]
    monkeypatch.setenv("WEFT_ENCRYPTION_KEYS", f"2026-01 {key}")
    settings = load_settings({})
    assert [codec.name for codec in settings.codecs().codecs] == ["aes-gcm"]
    assert key not in repr(settings)
    monkeypatch.setenv("WEFT_ENCRYPTION_KEYS", f"2026-01 {key}!")
    with pytest.raises(UsageError, match=r"WEFT_ENCRYPTION_KEYS.*entry 1") as refusal:
        load_settings({}).codecs()
    assert key not in str(refusal.value)


def test_key_without_keys_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEFT_ENCRYPTION_KEY_ID", "2025-07")
    with pytest.raises(UsageError, match="There are no keys for encryption_key_id=2025-07"):
        load_settings({}).codecs()


def test_codecs_of_ones_own_are_found_by_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_codecs_of_a_test.py").write_text(
        "from weft.payloads import Compression\nchain = [Compression()]\none = Compression()\n",
        encoding="utf-8",
    )
    for name in ("chain", "one"):
        monkeypatch.setenv("WEFT_PAYLOAD_CODECS", f"own_codecs_of_a_test:{name}")
        assert [codec.name for codec in load_settings({}).codecs().codecs] == ["zstd"]
    for wrong in ("own_codecs_of_a_test", "own_codecs_of_a_test:two", "nothing_here:one"):
        monkeypatch.setenv("WEFT_PAYLOAD_CODECS", wrong)
        with pytest.raises(UsageError, match="payload_codecs="):
            load_settings({}).codecs()
