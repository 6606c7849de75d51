import dapr.ext.workflow as wf

runtime = wf.WorkflowRuntime()


@runtime.activity
def book(ctx: wf.WorkflowActivityContext, part: str) -> str:
    return f"{part} booked"


@runtime.activity
def give_back(ctx: wf.WorkflowActivityContext, part: str) -> None: ...


@runtime.workflow
def travel(ctx: wf.DaprWorkflowContext, parts: list[str]):
    booked: list[str] = []
    try:
        for part in parts:
            booked.append(part)
            yield ctx.call_activity(book, input=part)
    except Exception:
        for part in reversed(booked):
            yield ctx.call_activity(give_back, input=part)
        raise
    return f"{len(parts)} booked"
