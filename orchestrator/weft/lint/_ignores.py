"""Comments that silence findings on their line: `# weft: ignore[WEFT101]`."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass

from weft.determinism import RULES, UNKNOWN_IGNORE, UNNEEDED_IGNORE

_COMMENT = re.compile(r"#\s*weft:\s*ignore\b\s*(?:\[([^\]]*)\])?")
_NEVER_SILENCED = {UNKNOWN_IGNORE.code, UNNEEDED_IGNORE.code}


@dataclass(frozen=True, slots=True)
class Ignore:
    """One code in a comment; empty where the comment names none. `column` counts from 0."""

    line: int
    column: int
    code: str

    @property
    def is_known(self) -> bool:
        return self.code in RULES and self.code not in _NEVER_SILENCED


def ignores_in(data: bytes) -> list[Ignore]:
    """All of a file, in order. A file that only the parser understands has none."""
    if b"weft:" not in data:
        return []
    found: list[Ignore] = []
    try:
        for token in tokenize.tokenize(io.BytesIO(data).readline):
            if token.type == tokenize.COMMENT:
                for match in _COMMENT.finditer(token.string):
                    codes = (match[1] or "").split(",")
                    place = token.start[0], token.start[1] + match.start()
                    found += [Ignore(*place, code.strip()) for code in codes]
    except (tokenize.TokenError, SyntaxError):
        return []
    return found
