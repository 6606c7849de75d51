"""The log as a simulation has it: what Apache Kafka does, as far as Weft can see, on a virtual clock.

`Cluster` is the brokers; `cluster.connect(process)` is the log of one simulated process. Nothing here uses threads, the
real clock or the network: all chance comes from the scheduler's seed, and what goes wrong from the fault menu.
"""

from tests.simulation.log._cluster import Cluster
from tests.simulation.log._log import SimulatedLog
from tests.simulation.log._observer import Observer
from tests.simulation.log._partition import Entry

__all__ = ["Cluster", "Entry", "Observer", "SimulatedLog"]
