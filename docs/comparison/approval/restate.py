from datetime import timedelta

import restate

approval = restate.Workflow("approval")


@approval.main()
async def run(ctx: restate.WorkflowContext, order: str) -> str:
    match await restate.select(
        by=ctx.promise("by", type_hint=str).value(), timeout=ctx.sleep(timedelta(days=2))
    ):
        case ["by", by]:
            return f"{order}: approved by {by}"
        case _:
            return f"{order}: nobody approved"


@approval.handler()
async def approve(ctx: restate.WorkflowSharedContext, by: str) -> None:
    await ctx.promise("by", type_hint=str).resolve(by)
