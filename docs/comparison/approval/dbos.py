from datetime import timedelta

from dbos import DBOS, DBOSClient


@DBOS.workflow()
def approval(order: str) -> str:
    by = DBOS.recv("approval", timeout_seconds=timedelta(days=2).total_seconds())
    if by is None:
        return f"{order}: nobody approved"
    return f"{order}: approved by {by}"


def approve(database_url: str, workflow_id: str, by: str) -> None:
    client = DBOSClient(system_database_url=database_url)
    client.send(workflow_id, by, topic="approval")
