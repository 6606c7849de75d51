"""What can go wrong between a process and the brokers, and at the brokers. Odds are per visit of the site."""

from __future__ import annotations

from tests.simulation.faults import fault

SLOW_BROKER = fault("slow_broker", 0.002, "a request or an answer takes up to 3 s")
LEADER_AWAY = fault("leader_away", 0.002, "a partition has no leader for up to 8 s")
TRANSACTIONS_AWAY = fault(
    "transactions_away", 0.002, "the transaction coordinator answers nobody for up to 8 s"
)
GROUPS_AWAY = fault("groups_away", 0.003, "a group's coordinator answers nobody for up to 8 s")

COMMIT_ANSWER_LOST = fault(
    "commit_answer_lost", 0.01, "a transaction is committed, and its producer is not told"
)
COMMIT_LOST = fault("commit_lost", 0.01, "a commit never arrives: the transaction stays open")
COMMIT_LATE = fault(
    "commit_late", 0.01, "a commit arrives up to 5 s after its producer gave up on it"
)
COMMIT_ABORTED = fault(
    "commit_aborted", 0.01, "a transaction is aborted, and its producer does not know"
)
ABORT_LOST = fault("abort_lost", 0.02, "an abort never arrives: the transaction stays open")
ABORT_ANSWER_LOST = fault(
    "abort_answer_lost", 0.02, "a transaction is aborted as asked, and its producer is not told"
)
OFFSETS_LOST = fault("offsets_lost", 0.005, "offsets do not arrive in a transaction")
OFFSETS_ANSWER_LOST = fault(
    "offsets_answer_lost", 0.005, "offsets are in a transaction, and its producer is not told"
)
FENCE_LOST = fault("fence_lost", 0.05, "a request for a transactional ID never arrives")
FENCE_ANSWER_LOST = fault(
    "fence_answer_lost", 0.05, "a transactional ID is taken, and whoever asked is not told"
)
MARKER_LATE = fault("marker_late", 0.05, "a decision reaches a partition up to 5 s late")
GROUP_MARKER_LATE = fault(
    "group_marker_late", 0.05, "a decision reaches the group's offsets up to 5 s late"
)
APPEND_LATE = fault(
    "append_late", 0.01, "records of a transaction reach a partition up to 5 s late"
)

DELIVERY_LATE = fault("delivery_late", 0.01, "plain records become durable up to 5 s late")
DELIVERY_FAILED = fault("delivery_failed", 0.003, "plain records are not written, and reported so")
DELIVERY_UNKNOWN = fault(
    "delivery_unknown", 0.003, "plain records are written, and reported as not written"
)
QUEUE_FULL = fault("queue_full", 0.003, "a producer's queue takes no more")
DUPLICATE = fault(
    "duplicate", 0.05, "a foreign producer, which is not idempotent, writes a batch twice"
)

SHORT_FETCH = fault("short_fetch", 0.1, "a poll gives fewer records than there are")
EMPTY_FETCH = fault(
    "empty_fetch", 0.1, "a poll gives nothing although there are records: they are on their way"
)
FETCH_LATE = fault("fetch_late", 0.005, "a poll sees new records up to 2 s late")
POLL_FAILS = fault("poll_fails", 0.002, "a poll fails, and the next one may succeed")
COMMITTED_FAILS = fault("committed_fails", 0.04, "committed offsets cannot be read just now")
OFFSET_COMMIT_FAILS = fault(
    "offset_commit_fails", 0.02, "a plain commit of offsets fails, written or not"
)
HEARTBEATS_LOST = fault(
    "heartbeats_lost", 0.008, "a member's heartbeats get lost for longer than its session"
)
REBALANCE = fault("rebalance", 0.02, "a group is balanced anew for no reason")
ADMIN_FAILS = fault("admin_fails", 0.05, "a question about topics is not answered")
