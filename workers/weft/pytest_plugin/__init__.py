"""pytest's way to `weft.testing`: the fixture `env`.

Every pytest beside an installed Weft loads this, so it imports nothing before it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from weft.testing import Environment

__all__ = ["env"]


@pytest.fixture
def env() -> Iterator[Environment]:
    """A `weft.testing.Environment`: workflows in virtual time. A fixture `env` of your own takes its place."""
    from weft.testing import Environment  # noqa: PLC0415  # only for those who use it

    with Environment() as environment:
        yield environment
