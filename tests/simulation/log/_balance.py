"""What a group's leader computes: who gets which partitions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def cooperative(
    owned_by_member: Mapping[str, frozenset[int]], partition_count: int
) -> dict[str, tuple[int, ...]]:
    """Even to within one, moving few; what has to move first leaves its owner and is given away in the next round.

    Members come in the order of their claims' age: when two claim a partition, the later claim counts.
    """
    members = list(owned_by_member)
    owner: dict[int, str] = {}
    for member, owned in owned_by_member.items():
        owner.update(dict.fromkeys(sorted(owned), member))
    kept: dict[str, list[int]] = {member: [] for member in members}
    for partition in sorted(owner):
        if partition < partition_count:
            kept[owner[partition]].append(partition)
    share, extra = divmod(partition_count, len(members))
    by_size = sorted(members, key=lambda member: -len(kept[member]))
    quota = {member: share + (index < extra) for index, member in enumerate(by_size)}
    for member in members:
        del kept[member][quota[member] :]
    free = [partition for partition in range(partition_count) if partition not in owner]
    for member in members:
        count = quota[member] - len(kept[member])
        kept[member] += free[:count]
        del free[:count]
    return {member: tuple(sorted(partitions)) for member, partitions in kept.items()}


def eager(members: Sequence[str], partition_count: int) -> dict[str, tuple[int, ...]]:
    """Ranges, in the order of the members: everybody has given up everything before."""
    share, extra = divmod(partition_count, len(members))
    result: dict[str, tuple[int, ...]] = {}
    start = 0
    for index, member in enumerate(sorted(members)):
        count = share + (index < extra)
        result[member] = tuple(range(start, start + count))
        start += count
    return result
