from datetime import timedelta

import dapr.ext.workflow as wf

runtime = wf.WorkflowRuntime()
policy = wf.RetryPolicy(
    first_retry_interval=timedelta(seconds=1),
    max_number_of_attempts=10,
    backoff_coefficient=2,
    max_retry_interval=timedelta(seconds=30),
)


@runtime.activity
def charge(ctx: wf.WorkflowActivityContext, order: str) -> str:
    return f"receipt for {order}"


@runtime.workflow
def pay(ctx: wf.DaprWorkflowContext, order: str):
    receipt = yield ctx.call_activity(charge, input=order, retry_policy=policy)
    return receipt
