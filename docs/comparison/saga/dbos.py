from dbos import DBOS


@DBOS.step()
def book(part: str) -> str:
    return f"{part} booked"


@DBOS.step()
def give_back(part: str) -> None: ...


@DBOS.workflow()
def travel(parts: list[str]) -> str:
    booked: list[str] = []
    try:
        for part in parts:
            booked.append(part)
            book(part)
    except Exception:
        for part in reversed(booked):
            give_back(part)
        raise
    return f"{len(parts)} booked"
