"""The blocks of docs/codecs.md are run, as they stand there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.documents import ROOT, Shell, blocks
from tests.support.workers import wait_until
from weft import workflow
from weft.payloads import PayloadCodec, new_key
from weft.testing import Environment

PAGE = (ROOT / "docs" / "codecs.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)


@workflow.define
async def echo(ctx: workflow.Context, text: str) -> str:
    return text


def test_blocks_are_all_tested() -> None:
    assert list(BLOCKS) == ["keys", "chain", "own"]
    assert PAGE.count("```") == 2 * len(BLOCKS) + 2  # an envelope, which is no code


def test_commands_are_run_as_they_are_typed(tmp_path: Path) -> None:
    example = ROOT / "examples" / "hello" / "hello.py"
    (tmp_path / "hello.py").write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    make, start, show, show_without = BLOCKS["keys"].splitlines()
    Shell(tmp_path).run(["sh", "-c", make])
    shell, stranger = Shell(tmp_path, WEFT_ENCRYPTION_KEYS_FILE="keys"), Shell(tmp_path)
    with shell.running(["weft", "dev", "hello.py"]):
        wait_until((tmp_path / ".weft" / "dev.weft").exists, "weft dev has made its file")
        assert "Hello, Ada!" in stranger.run(["sh", "-c", start])
        shown = stranger.run(["sh", "-c", show])
        assert "Hello, Ada!" in shown
        hidden = stranger.run(["sh", "-c", show_without])
        assert hidden.count("<encrypted with key 2026-01>") == 2
        assert "Ada" not in hidden
        history = stranger.run(["weft", "history", "greeting-1"])
        assert "hello(<encrypted with key 2026-01>)" in history
        assert "Ada" not in history
        download = ["weft", "history", "greeting-1", "--download", "history.json"]
        stranger.run(download, status=1)
        shell.run(download)
        assert "1 replayed" in stranger.run(
            ["weft", "replay", "history.json", "--workflows", "hello.py"]
        )


def run_with(chain: list[PayloadCodec]) -> None:
    text = "again and " * 1_000
    with Environment(payload_codecs=chain) as env:
        assert env.start(echo, text).result() == text
        [name] = {codec.name for codec in chain} & {"aes-gcm", "deflate"}
        log = b"".join(env._owner._state.values())
        assert f'"codec":"{name}"'.encode() in log
        assert b"again and again" not in log


def test_codecs_are_what_the_page_says(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").write_text(new_key("2026-01"), encoding="utf-8")
    names: dict[str, Any] = {}
    exec(BLOCKS["chain"] + BLOCKS["own"], names)
    run_with(names["chain"]())
    run_with([names["Deflate"]()])
