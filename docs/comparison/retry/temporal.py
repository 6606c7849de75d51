from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy


class CardDeclined(Exception): ...


@activity.defn
async def charge(order: str) -> str:
    return f"receipt for {order}"


@workflow.defn
class Pay:
    @workflow.run
    async def run(self, order: str) -> str:
        return await workflow.execute_activity(
            charge,
            order,
            start_to_close_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(
                maximum_attempts=10,
                maximum_interval=timedelta(seconds=30),
                non_retryable_error_types=["CardDeclined"],
            ),
        )
