"""What the model says, one JSON line a row.

.venv/bin/python -m benchmarks.scale                        everything, in some two minutes
.venv/bin/python -m benchmarks.scale --only 3,workers       some parts
.venv/bin/python -m benchmarks.scale --write                the tables and the picture of docs/scale.md anew, too
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from benchmarks.scale.fitting import fitted
from benchmarks.scale.page import write
from benchmarks.scale.scenarios import PARTS, Model
from benchmarks.stage import Line, say
from benchmarks.table import RESULTS, read


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help=", ".join(PARTS))
    parser.add_argument("--write", action="store_true", help="into docs/scale.md")
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",")
    if unknown := set(names) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: {', '.join(PARTS)}")
    measured = read(RESULTS)
    model = Model(fitted(measured), measured)
    found: dict[str, list[Line]] = {}
    for name in names:
        say(f"simulating: {name}")
        found[name] = []
        for line in PARTS[name](model):
            found[name].append(line)
            print(json.dumps({"part": name, **line}), flush=True)
    if chosen.write:
        write(found)


if __name__ == "__main__":
    main()
