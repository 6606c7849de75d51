"""What one process did, another one replays: with other addresses and other hashes of texts, the order stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.property.corpus.every import SHAPES
from weft.codec import encode, join_events


@pytest.mark.requirement("R1-28")
def test_histories_replay_in_another_process(tmp_path: Path) -> None:
    histories = {}
    for shape in SHAPES:
        with shape.play() as run:
            histories[shape.name] = join_events([encode(event) for event in run.events])
    file = tmp_path / "histories.json"
    file.write_bytes(msgspec.json.encode(histories))
    script = Path(__file__).with_name("replay_elsewhere.py")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PYTHONHASHSEED": "4242",
    }
    child = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(file)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert int(child.stdout) == len(SHAPES) == len(histories)
