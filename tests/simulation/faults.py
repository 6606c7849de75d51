"""The menu of faults. Each is armed or not for a whole run, and an armed one fires with odds of its own.

Arming by run makes runs different: one is all about lost commits, the next about late markers. A site in the simulated
log asks `fires("name")`; what never fired in any run is reported.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

ARMED = 0.3
"""The odds that a fault is armed in a run."""


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    odds: float
    """That it fires at one visit of its site, once armed."""
    what: str


MENU: dict[str, Fault] = {}
"""Every fault there is, by name."""


def fault(name: str, odds: float, what: str) -> str:
    """Put a fault on the menu; returns its name."""
    assert name not in MENU, f"fault {name} is on the menu twice"
    MENU[name] = Fault(name, odds, what)
    return name


class Faults:
    """The faults of one run. `heal` ends them all."""

    def __init__(self, random: Random, *, armed: frozenset[str] | None = None) -> None:
        self._random = random
        drawn = frozenset(name for name in sorted(MENU) if random.random() < ARMED)
        self.armed = drawn if armed is None else armed
        self.fired: Counter[str] = Counter()
        self.healed = False

    def fires(self, name: str) -> bool:
        """Whether the fault happens here and now."""
        menu = MENU[name]
        if self.healed or name not in self.armed or self._random.random() >= menu.odds:
            return False
        self.fired[name] += 1
        return True

    def heal(self) -> None:
        """From now on nothing goes wrong any more."""
        self.healed = True
