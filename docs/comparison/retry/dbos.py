from dbos import DBOS


class CardDeclined(Exception): ...


@DBOS.step(
    retries_allowed=True,
    max_attempts=10,
    timeout_seconds=20,
    should_retry=lambda error: not isinstance(error, CardDeclined),
)
async def charge(order: str) -> str:
    return f"receipt for {order}"


@DBOS.workflow()
async def pay(order: str) -> str:
    return await charge(order)
