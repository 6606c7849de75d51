from dbos import DBOS


@DBOS.step()
def greet(name: str) -> str:
    return f"Hello, {name}!"


@DBOS.workflow()
def hello(name: str) -> str:
    return greet(name)


if __name__ == "__main__":
    DBOS(config={"name": "hello"})
    DBOS.launch()
    print(hello("Ada"))
