from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest

from weft.cli._parse import byte_count, duration, json_value, key_values
from weft.errors import UsageError


@pytest.mark.parametrize(
    "text, expected",
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("720h", timedelta(days=30)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(days=14)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5s", timedelta(milliseconds=1500)),
        ("250ms", timedelta(milliseconds=250)),
        ("0s", timedelta(0)),
    ],
)
def test_duration_has_units(text: str, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "-5s", "1h30", "five minutes", "1y"])
def test_duration_without_a_unit_or_meaning_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write a number with its unit, such as 30s, 15m"):
        duration(text)


def test_duration_beyond_measure_is_refused() -> None:
    with pytest.raises(UsageError, match="longer than any duration"):
        duration("9" * 30 + "d")


def test_json_value_is_read() -> None:
    assert json_value('{"name": "Ada", "tags": ["ä", 1.5, null]}', "--input") == {
        "name": "Ada",
        "tags": ["ä", 1.5, None],
    }


def test_json_value_comes_from_a_file_or_standard_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "order.json").write_text('{"id": 1}', encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("[2]"))
    assert json_value("@order.json", "--input") == {"id": 1}
    assert json_value("@-", "--input") == [2]
    with pytest.raises(UsageError, match=r"--input: nothing.json cannot be read"):
        json_value("@nothing.json", "--input")


def test_malformed_json_says_where(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"--input is no JSON: .* at line 1, column 1 of Ada"):
        json_value("Ada", "--input")
    with pytest.raises(UsageError, match=r"--payload is no JSON: .* at line 2, column 5"):
        json_value('{"a": 1,\n "b"}', "--payload")
    (folder / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"--input \(@bad.json\) is no JSON: .* at line 1, column 2"
    ):
        json_value("@bad.json", "--input")


def test_long_malformed_json_is_cut_in_the_message() -> None:
    with pytest.raises(UsageError) as caught:
        json_value("x" * 10_000, "--input")
    assert len(str(caught.value)) < 300


def test_numbers_that_json_has_not_are_refused() -> None:
    with pytest.raises(UsageError, match="--input is no JSON: NaN is no JSON value"):
        json_value("[NaN]", "--input")


def test_key_values_are_split_at_the_first_equals_sign() -> None:
    assert key_values(["sasl.password=a=b", " acks = all "]) == {
        "sasl.password": "a=b",
        "acks": "all",
    }
    for pair in ("acks", "=all", " =all"):
        with pytest.raises(UsageError, match="--kafka-config takes KEY=VALUE"):
            key_values([pair])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("100000", 100_000),
        ("512MiB", 512 * 1024**2),
        ("2GiB", 2 * 1024**3),
        ("2 gib", 2 * 1024**3),
        ("1.5GB", 1_500_000_000),
        ("64KiB", 65_536),
        ("1TB", 10**12),
        ("7B", 7),
    ],
)
def test_size_is_a_number_of_bytes_with_or_without_a_unit(text: str, expected: int) -> None:
    assert byte_count(text) == expected


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "2 cups", "two GiB", "1GiB2", "1e9"])
def test_size_without_meaning_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="such as 512MiB or 2GiB"):
        byte_count(text)
