import dapr.ext.workflow as wf

runtime = wf.WorkflowRuntime()


@runtime.activity
def pick(ctx: wf.WorkflowActivityContext, line: str) -> str:
    return f"{line} picked"


@runtime.workflow
def fulfil(ctx: wf.DaprWorkflowContext, lines: list[str]):
    picked = yield wf.when_all([ctx.call_activity(pick, input=line) for line in lines])
    return picked
