"""The namespaces on the log that messages go to: how many partitions each has, which says where a workflow is."""

from __future__ import annotations

from weft.errors import TopicError, UsageError
from weft.log import Log
from weft.topics import Namespace, partition_count


class Directory:
    """Used by the owner's thread alone. A count is asked for once: it never changes while a namespace is served."""

    def __init__(self, own: Namespace, own_count: int, log: Log | None = None) -> None:
        """Without a log, no other namespace is known."""
        self.own = own
        self._log = log
        self._known: dict[str, tuple[Namespace, int]] = {own.name: (own, own_count)}

    def find(self, name: str) -> tuple[Namespace, int] | None:
        """The namespace (the own one for an empty name) with its partition count; None when there is none.

        Blocks for one that was not asked for before. Raises LogUnavailableError when nobody can say.
        """
        found = self._known.get(name or self.own.name)
        if found is None:
            found = self._look(name)
            if found is not None:
                self._known[name] = found
        return found

    def _look(self, name: str) -> tuple[Namespace, int] | None:
        if self._log is None:
            return None
        try:
            namespace = Namespace(name)
        except UsageError:
            return None
        admin = self._log.admin()
        try:
            return namespace, partition_count(admin, namespace)
        except TopicError:
            return None
        finally:
            admin.close()
