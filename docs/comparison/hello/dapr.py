import time

import dapr.ext.workflow as wf

runtime = wf.WorkflowRuntime()


@runtime.activity
def greet(ctx: wf.WorkflowActivityContext, name: str) -> str:
    return f"Hello, {name}!"


@runtime.workflow
def hello(ctx: wf.DaprWorkflowContext, name: str):
    greeting = yield ctx.call_activity(greet, input=name)
    return greeting


if __name__ == "__main__":
    runtime.start()
    time.sleep(3600)
    runtime.shutdown()
