from datetime import timedelta

import dapr.ext.workflow as wf

runtime = wf.WorkflowRuntime()


@runtime.workflow
def approval(ctx: wf.DaprWorkflowContext, order: str):
    try:
        by = yield ctx.wait_for_external_event("approval", timeout=timedelta(days=2))
    except TimeoutError:
        return f"{order}: nobody approved"
    return f"{order}: approved by {by}"
