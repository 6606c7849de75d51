"""Writes the JSON Schemas into `docs/schemas/`: `make schemas`."""

from __future__ import annotations

import json
from pathlib import Path

from weft.codec import JsonSchema, schemas

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"


def text_of(schema: JsonSchema) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    wanted = {f"{kind}.json": text_of(schema) for kind, schema in schemas().items()}
    for file in FOLDER.glob("*.json"):
        if file.name not in wanted:
            file.unlink()
            print(f"removed {file.name}")
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(wanted)} schemas in docs/schemas/")


if __name__ == "__main__":
    main()
