from dbos import DBOS


@DBOS.workflow()
def pick(line: str) -> str:
    return f"{line} picked"


@DBOS.workflow()
def fulfil(lines: list[str]) -> list[str]:
    handles = [DBOS.enqueue_workflow("picks", pick, line) for line in lines]
    return [handle.get_result() for handle in handles]


def launch() -> None:
    DBOS.launch()
    DBOS.register_queue("picks")
