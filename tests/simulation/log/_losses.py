"""How the requests of a transactional producer get lost, so that it does not know what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulation.log import _menu
from tests.simulation.log._network import Network


@dataclass(frozen=True, slots=True)
class Loss:
    """Whether the request arrives all the same, and how late at most."""

    fault: str
    arrives: bool
    delay_s_max: float = 0.0


COMMIT_LOSSES = (
    Loss(_menu.COMMIT_LOST, arrives=False),
    Loss(_menu.COMMIT_ANSWER_LOST, arrives=True),
    Loss(_menu.COMMIT_LATE, arrives=True, delay_s_max=5.0),
    Loss(_menu.COMMIT_ABORTED, arrives=True),
)
ABORT_LOSSES = (
    Loss(_menu.ABORT_LOST, arrives=False),
    Loss(_menu.ABORT_ANSWER_LOST, arrives=True),
)
OFFSETS_LOSSES = (
    Loss(_menu.OFFSETS_LOST, arrives=False),
    Loss(_menu.OFFSETS_ANSWER_LOST, arrives=True),
)


def drawn(network: Network, losses: Sequence[Loss]) -> Loss | None:
    """The one that happens now, if any."""
    return next((loss for loss in losses if network.faults.fires(loss.fault)), None)
