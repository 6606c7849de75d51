from datetime import timedelta

import pytest
from approval import Approval
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker


@pytest.fixture
async def env():
    async with (
        await WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, task_queue="test", workflows=[Approval]),
    ):
        yield env


async def test_approved_after_a_day(env):
    handle = await env.client.start_workflow(
        Approval.run, "order-1", id="order-1", task_queue="test"
    )
    await env.sleep(timedelta(days=1))
    await handle.signal(Approval.approve, "Grace")
    assert await handle.result() == "order-1: approved by Grace"


async def test_nobody_approves(env):
    result = await env.client.execute_workflow(
        Approval.run, "order-1", id="order-1", task_queue="test"
    )
    assert result == "order-1: nobody approved"
