"""Which member each partition should be with. Pure: the file is the membership's business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def balanced(
    member_by_partition: Mapping[int, int | None], members: Sequence[int]
) -> dict[int, int | None]:
    """Even to within one partition, and moving as few as possible.

    `member_by_partition` is where the partitions should be by the last balance; members that are not in `members`
    are gone.
    """
    if not members:
        return dict.fromkeys(member_by_partition)
    kept: dict[int, list[int]] = {member: [] for member in members}
    free: list[int] = []
    for partition, member in sorted(member_by_partition.items()):
        (free if member is None or member not in kept else kept[member]).append(partition)
    share, extra_count = divmod(len(member_by_partition), len(members))
    # Who has most may keep one more than the share.
    by_size = sorted(members, key=lambda member: -len(kept[member]))
    quota = {member: share + (index < extra_count) for index, member in enumerate(by_size)}
    for member in members:
        free += kept[member][quota[member] :]
        del kept[member][quota[member] :]
    free.sort()
    for member in members:
        missing_count = quota[member] - len(kept[member])
        kept[member] += free[:missing_count]
        del free[:missing_count]
    return {partition: member for member, partitions in kept.items() for partition in partitions}
