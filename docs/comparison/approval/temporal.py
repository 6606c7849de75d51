from datetime import timedelta

from temporalio import workflow


@workflow.defn
class Approval:
    def __init__(self) -> None:
        self.by: str | None = None

    @workflow.signal
    def approve(self, by: str) -> None:
        self.by = by

    @workflow.run
    async def run(self, order: str) -> str:
        try:
            await workflow.wait_condition(lambda: self.by is not None, timeout=timedelta(days=2))
        except TimeoutError:
            return f"{order}: nobody approved"
        return f"{order}: approved by {self.by}"
