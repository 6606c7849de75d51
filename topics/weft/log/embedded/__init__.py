"""The log in one SQLite file: the whole contract of `weft.log`, for development, tests and small single-node use.

Several processes of one machine may share the file (a worker, a client, the command line). It must lie on a local
disk: SQLite's write-ahead log needs memory that all of them share. What a commit returned for survives a kill -9
and a power cut.

How it works, in four sentences. A commit is one write transaction of SQLite, so records and offsets appear together
or not at all, and there is never an undecided record to hide. Readers watch `PRAGMA data_version`, which changes
with every commit of another connection. Group membership is leases in the file; whoever notices a change works out
the new balance. A partition moves when its owner has released it, and an epoch on it refuses the commits of whoever
owned it before.
"""

from weft.log.embedded._log import EmbeddedLog, open_embedded

__all__ = ["EmbeddedLog", "open_embedded"]
