"""Replays histories that another process wrote: `python replay_elsewhere.py FILE`, a JSON object of events by shape."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from tests.property.corpus.every import SHAPES
from tests.support.runs import WORKFLOW_ID
from weft.codec import decode_events
from weft.workflow import Machine


def main(path: str) -> None:
    histories = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, msgspec.Raw])
    workflows = {shape.name: shape.workflow for shape in SHAPES}
    for name, events in histories.items():
        machine = Machine(workflows[name], WORKFLOW_ID)
        machine.replay(decode_events(events))
        machine.close()
    print(len(histories))


if __name__ == "__main__":
    main(sys.argv[1])
