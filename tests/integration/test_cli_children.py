"""What the command line tells of parents and children, on the embedded log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli_kit import prepare, serving, weft

APP = """
from weft import workflow

@workflow.define
async def waiting(ctx: workflow.Context) -> str:
    return await ctx.receive_signal("go", str)

@workflow.define
async def parent(ctx: workflow.Context, count: int) -> list[str]:
    children = [
        await ctx.start_child(waiting.options(id=f"child-{n}")) for n in range(count)
    ]
    return [await child for child in children]
"""


@pytest.mark.requirement("R3-15")
def test_show_and_history_tell_of_parents_and_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepare(tmp_path, monkeypatch)
    (folder / "family.py").write_text(APP, encoding="utf-8")
    with serving(folder, "dev", "family.py") as process:
        process.says("start one:")
        weft("start", "parent", "--input", "2", "--id", "p-1")
        weft("signal", "child-0", "go", "--payload", '"done"')
        assert weft("result", "child-0").stdout == '"done"\n'
        while (shown := weft("show", "p-1", "--json").document)["event_count"] < 6:
            assert shown["status"] == "running"
        assert [
            (child["workflow_id"], child["workflow"], child["namespace"], child["status"])
            for child in shown["children"]
        ] == [
            ("child-0", "waiting", "default", "completed"),
            ("child-1", "waiting", "default", "running"),
        ]
        text = weft("show", "p-1").stdout
        assert "children" in text
        assert text.index("child-1") < text.index("child-0"), "what it waits for comes first"
        child = weft("show", "child-1")
        assert f"p-1 in default, run {shown['run_id']}" in " ".join(child.stdout.split())
        parent = weft("show", "child-1", "--json").document["parent"]
        assert parent == {
            "namespace": "default",
            "workflow_id": "p-1",
            "run_id": shown["run_id"],
        }
        assert "waiting(null) as child-0, number 1" in " ".join(
            weft("history", "p-1").stdout.split()
        )
        weft("terminate", "p-1")
        assert "was terminated" in weft("result", "child-1").stderr
