from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from weft.errors import PayloadError, UsageError
from weft.payloads import PayloadStore, StoredObject, _store
from weft.payloads._files import Files, without_password
from weft.records import StoredPayload

DATA = b'"' + b"x" * 10_000 + b'"'
KEY = "shop/order-42-1/run-1/" + hashlib.sha256(DATA).hexdigest() + ".json"


def objects(url: str) -> list[str]:
    """Every file below a store, as paths from its root."""
    files, root = fsspec.core.url_to_fs(url)
    return [path.removeprefix(root).strip("/") for path in files.find(root)]


def overwrite(url: str, key: str, data: bytes) -> None:
    files, root = fsspec.core.url_to_fs(url)
    files.pipe_file(f"{root}/{key}", data)


def test_payload_comes_back_as_it_was_stored(store: PayloadStore, url: str) -> None:
    stored = store.write(KEY, DATA)
    assert stored == StoredPayload(KEY, hashlib.sha256(DATA).hexdigest(), len(DATA))
    assert store.read(stored) == DATA
    assert objects(url) == [KEY], "no temporary file is left"


def test_writing_again_changes_nothing(store: PayloadStore, url: str) -> None:
    assert store.write(KEY, DATA) == store.write(KEY, DATA)
    assert objects(url) == [KEY]


def test_list_shows_a_namespace_and_when_its_payloads_were_written(store: PayloadStore) -> None:
    began_s = time.time()
    store.write(KEY, DATA)
    store.write(KEY.replace("shop/", "shop2/"), DATA)
    (found,) = store.list("shop")
    assert (found.key, found.bytes) == (KEY, len(DATA))
    assert began_s - 2 <= found.written_s <= time.time() + 2
    assert store.list("nothing") == []


def test_list_passes_over_what_is_no_payload(store: PayloadStore, url: str) -> None:
    store.write(KEY, DATA)
    overwrite(url, "shop/README", b"do not delete")
    assert [found.key for found in store.list("shop")] == [KEY]


def test_delete_removes_what_is_there_and_nothing_else(store: PayloadStore, url: str) -> None:
    other = KEY.replace("run-1", "run-2")
    store.write(KEY, DATA)
    store.write(other, DATA)
    store.delete([KEY, KEY])
    assert objects(url) == [other]
    store.delete([other])
    assert objects(url) == []


def test_folder_of_a_purged_workflow_is_gone_too(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path / "payloads")
    store.write(KEY, DATA)
    store.delete([KEY])
    assert list((tmp_path / "payloads").iterdir()) == [tmp_path / "payloads" / "shop"]


def test_missing_payload_is_told_with_its_url(store: PayloadStore) -> None:
    stored = StoredPayload(KEY, "a" * 64, 3)
    with pytest.raises(PayloadError, match="is missing: it was deleted, or") as missing:
        store.read(stored)
    assert f"{store.name}/{KEY}" in str(missing.value)


@pytest.mark.parametrize("damage", [DATA[:-1], DATA.replace(b"x", b"y", 1), b""])
def test_damaged_payload_is_told_with_its_url(store: PayloadStore, url: str, damage: bytes) -> None:
    stored = store.write(KEY, DATA)
    overwrite(url, KEY, damage)
    with pytest.raises(PayloadError, match="is damaged: 10,002 bytes") as damaged:
        store.read(stored)
    assert f"{store.name}/{KEY}" in str(damaged.value)


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "/etc/passwd", "a/b/../c", "a/b/c", "a/b/c/d/e", "a/b//d", ""]
)
def test_key_that_leads_elsewhere_is_refused(store: PayloadStore, key: str) -> None:
    with pytest.raises(PayloadError, match="no place in a payload store"):
        store.read(StoredPayload(key, "a" * 64, 3))
    store.delete([key])  # passed over


def test_store_that_nobody_knows_is_refused_with_what_would_be() -> None:
    with pytest.raises(UsageError, match=r"cannot be opened: .*It is a folder, or a URL"):
        PayloadStore("nosuchthing://bucket")


def test_file_is_refused_as_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        PayloadStore(tmp_path / "file")


def test_file_url_is_a_folder(tmp_path: Path) -> None:
    store = PayloadStore(f"file://{tmp_path}/payloads")
    store.write(KEY, DATA)
    assert (tmp_path / "payloads" / KEY).read_bytes() == DATA


def test_password_is_left_out_of_messages() -> None:
    assert without_password("ftp://ada:secret@host:21/x") == "ftp://host:21/x"
    assert without_password("s3://bucket/x") == "s3://bucket/x"


def test_store_that_takes_nothing_is_told_with_the_reason(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path / "payloads")
    (tmp_path / "payloads").touch()  # since it was opened
    with pytest.raises(PayloadError, match=r"could not be stored at .*NotADirectoryError"):
        store.write(KEY, DATA)


class Flaky:
    """Fails as often as it is told, or hangs until it is let go."""

    name = "flaky"

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.calls = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def read(self, key: str) -> bytes:
        self.calls += 1
        assert self.go_on.wait(30)
        if self.calls <= self.failures:
            raise OSError("try again")
        return DATA

    def write(self, key: str, data: bytes) -> None:
        raise AssertionError

    def delete(self, key: str) -> None:
        raise AssertionError

    def walk(self, prefix: str) -> Iterator[StoredObject]:
        raise AssertionError


def flaky_store(files: Files, timeout_s: float = 5.0) -> PayloadStore:
    store = PayloadStore("unused", timeout_s=timeout_s)
    store._files = files
    return store


STORED = StoredPayload(KEY, hashlib.sha256(DATA).hexdigest(), len(DATA))


def test_call_that_fails_is_made_again_before_anybody_is_told() -> None:
    files = Flaky(failures=2)
    assert flaky_store(files).read(STORED) == DATA
    assert files.calls == 3


def test_call_that_goes_on_failing_is_told_with_the_reason() -> None:
    files = Flaky(failures=99)
    with pytest.raises(PayloadError, match=r"could not be fetched from .*OSError: try again"):
        flaky_store(files).read(STORED)
    assert files.calls == 3


def test_store_that_hangs_is_given_up_and_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_store, "_DOWN_S", 0.3)
    files = Flaky()
    files.go_on.clear()
    store = flaky_store(files, timeout_s=0.1)
    with pytest.raises(PayloadError, match=r"did not answer within 0\.1"):
        store.read(STORED)
    with pytest.raises(PayloadError, match="did not answer a moment ago"):
        store.read(STORED)
    assert files.calls == 1, "it is left alone"
    files.go_on.set()
    time.sleep(0.35)
    assert store.read(STORED) == DATA


def test_write_is_durable_before_it_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a crash would leave: at every moment the payload is whole under its name, or not there."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        steps.append("folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "file")
        fsync(handle)

    def note_replace(source: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    PayloadStore(tmp_path / "payloads").write(KEY, DATA)
    assert steps == [*["folder"] * 4, "file", "rename", "folder"], "the four new folders first"
