import asyncio

import restate
from approval import approval, approve, run


async def test_approved():
    async with restate.create_test_harness(restate.app([approval])) as harness:
        result = asyncio.create_task(harness.client.workflow_call(run, "order-1", "order-1"))
        await harness.client.workflow_call(approve, "order-1", "Grace")
        assert await result == "order-1: approved by Grace"
