"""What every store of workflow states must do, as tests that anybody can run against his own.

    class TestMyStore(StoreContract):
        @asynccontextmanager
        async def open_store(self):
            yield MyStore(...)

pytest collects the cases with the class. Each opens a store that must be empty; a store that outlives its process says
`is_durable = True`, and `open_store` is then called again in one test for what the former one has kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from weft.executor import (
    EventType,
    HistoryEvent,
    StoreError,
    WorkflowFilter,
    WorkflowState,
    WorkflowStatus,
    WorkflowStore,
)

_START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_ODD_IDS = ("order/1", "order.2 *", "bestellung-ü-漢", "a" * 300, "wf>1", "..")


def state_of(workflow_id: str, number: int = 0, **fields: Any) -> WorkflowState:
    """A state as an executor makes it, `number` seconds after the first."""
    created = _START + timedelta(seconds=number)
    return WorkflowState(
        **{
            "workflow_id": workflow_id,
            "run_id": f"run-{workflow_id[:40]}",
            "created_at": created,
            "updated_at": created,
            **fields,
        }
    )


class StoreContract:
    """Derive from it and say how a store is opened."""

    is_durable = False
    has_pages = True
    """Whether the store knows a list's cursor."""

    def open_store(self) -> AbstractAsyncContextManager[WorkflowStore]:
        """The store to be tested, empty; it is left at the end of each test. To be overridden."""
        raise NotImplementedError("say how the store is opened that is to be tested")

    def _run(self, case: Callable[[WorkflowStore], Awaitable[None]]) -> None:
        async def run() -> None:
            async with self.open_store() as store:
                await case(store)

        asyncio.run(run())

    def test_saved_state_is_loaded(self) -> None:
        async def case(store: WorkflowStore) -> None:
            await store.save(state_of("wf-1"))
            loaded = await store.load("wf-1")
            assert loaded is not None
            assert (loaded.workflow_id, loaded.status) == ("wf-1", WorkflowStatus.RUNNING)

        self._run(case)

    def test_unknown_id_gives_none(self) -> None:
        async def case(store: WorkflowStore) -> None:
            assert await store.load("never") is None
            assert await store.load("") is None

        self._run(case)

    def test_save_refuses_a_state_without_an_id(self) -> None:
        async def case(store: WorkflowStore) -> None:
            await _refused(store.save(state_of("")), "/save: workflow ID is required")
            assert list(await store.list()) == []

        self._run(case)

    def test_save_refuses_what_json_cannot_hold(self) -> None:
        async def case(store: WorkflowStore) -> None:
            await store.save(state_of("wf-1", input="kept"))
            await _refused(store.save(state_of("wf-1", input=object())), "/save: marshal:")
            loaded = await store.load("wf-1")
            assert loaded is not None
            assert loaded.input == "kept"

        self._run(case)

    def test_second_save_replaces_the_first(self) -> None:
        async def case(store: WorkflowStore) -> None:
            await store.save(state_of("wf-1"))
            await store.save(state_of("wf-1", status=WorkflowStatus.COMPLETED, result=42))
            loaded = await store.load("wf-1")
            assert loaded is not None
            assert (loaded.status, loaded.result) == (WorkflowStatus.COMPLETED, 42)
            assert len(await store.list()) == 1

        self._run(case)

    def test_list_filters_by_status_and_limit(self) -> None:
        async def case(store: WorkflowStore) -> None:
            await store.save(state_of("wf-1", 1))
            await store.save(state_of("wf-2", 2, status=WorkflowStatus.COMPLETED))
            await store.save(state_of("wf-3", 3))
            assert await _ids(store, None) == ["wf-1", "wf-2", "wf-3"]
            assert await _ids(store, WorkflowFilter(status="running")) == ["wf-1", "wf-3"]
            assert await _ids(store, WorkflowFilter(limit=1)) == ["wf-1"]
            assert await _ids(store, WorkflowFilter(status="running", limit=1)) == ["wf-1"]
            assert await _ids(store, WorkflowFilter(limit=-1)) == ["wf-1", "wf-2", "wf-3"]
            assert await _ids(store, WorkflowFilter(status="failed")) == []

        self._run(case)

    def test_list_is_empty_when_nothing_was_saved(self) -> None:
        async def case(store: WorkflowStore) -> None:
            assert list(await store.list()) == []

        self._run(case)

    def test_list_goes_from_oldest_to_newest_in_pages(self) -> None:
        async def case(store: WorkflowStore) -> None:
            for number in (3, 1, 4, 0, 2):
                await store.save(state_of(f"wf-{number}", number // 2))
            assert await _ids(store, None) == [f"wf-{number}" for number in range(5)]
            if not self.has_pages:
                return
            page = WorkflowFilter(limit=2)
            seen = []
            while found := await store.list(page):
                seen.append([state.workflow_id for state in found])
                page = page.after(found[-1])
            assert seen == [["wf-0", "wf-1"], ["wf-2", "wf-3"], ["wf-4"]]

        self._run(case)

    def test_deleted_state_is_gone(self) -> None:
        async def case(store: WorkflowStore) -> None:
            await store.save(state_of("wf-1"))
            await store.save(state_of("wf-2"))
            await store.delete("wf-1")
            assert await store.load("wf-1") is None
            assert await _ids(store, None) == ["wf-2"]
            await store.save(state_of("wf-1"))
            assert await store.load("wf-1") is not None

        self._run(case)

    def test_delete_of_an_unknown_id_does_nothing(self) -> None:
        async def case(store: WorkflowStore) -> None:
            await store.delete("never")
            assert list(await store.list()) == []

        self._run(case)

    def test_every_field_survives(self) -> None:
        async def case(store: WorkflowStore) -> None:
            state = _full_state()
            await store.save(state)
            loaded = await store.load("full")
            assert loaded == state
            assert list(await store.list()) == [state]

        self._run(case)

    def test_what_is_loaded_is_a_copy(self) -> None:
        async def case(store: WorkflowStore) -> None:
            state = _full_state()
            await store.save(state)
            state.history.clear()
            state.input["lines"].append("added to the saved one")
            for _ in range(2):
                loaded = await store.load("full")
                assert loaded == _full_state()
                loaded.history[0].error = "added to the loaded one"
                loaded.input["lines"].clear()

        self._run(case)

    def test_ids_of_any_characters_are_kept_apart(self) -> None:
        async def case(store: WorkflowStore) -> None:
            for workflow_id in _ODD_IDS:
                await store.save(state_of(workflow_id, input=workflow_id))
            for workflow_id in _ODD_IDS:
                loaded = await store.load(workflow_id)
                assert loaded is not None
                assert (loaded.workflow_id, loaded.input) == (workflow_id, workflow_id)
            assert sorted(await _ids(store, None)) == sorted(_ODD_IDS)

        self._run(case)

    def test_saves_at_once_lose_nothing(self) -> None:
        async def case(store: WorkflowStore) -> None:
            await asyncio.gather(*(store.save(state_of(f"wf-{n:02}", n)) for n in range(20)))
            assert await _ids(store, None) == [f"wf-{n:02}" for n in range(20)]

        self._run(case)

    def test_last_of_many_saves_of_one_id_wins(self) -> None:
        async def case(store: WorkflowStore) -> None:
            for number in range(20):
                await asyncio.gather(
                    store.save(state_of("wf-1", result=f"{number} first")),
                    store.load("wf-1"),
                )
                await store.save(state_of("wf-1", result=number))
                loaded = await store.load("wf-1")
                assert loaded is not None
                assert loaded.result == number

        self._run(case)

    def test_saved_states_outlive_the_store_when_it_is_durable(self) -> None:
        async def case() -> None:
            async with self.open_store() as store:
                await store.save(_full_state())
                await store.save(state_of("gone", 1))
                await store.delete("gone")
            async with self.open_store() as store:
                assert await store.load("full") == _full_state()
                assert await store.load("gone") is None
                assert await _ids(store, None) == ["full"]

        if self.is_durable:
            asyncio.run(case())


def _full_state() -> WorkflowState:
    return state_of(
        "full",
        status=WorkflowStatus.FAILED,
        input={"order": 7, "lines": ["a", 1, 2.5, None, True], "big": 2**53 + 1},
        result=["ü", "漢"],
        error="card declined",
        history=[
            HistoryEvent(id=1, type=EventType.WORKFLOW_STARTED, timestamp=_START, input={"a": 1}),
            HistoryEvent(
                id=2,
                type=EventType.TIMER_FIRED,
                timestamp=_START + timedelta(microseconds=1),
                activity_name="charge",
                result=[1],
                error="no",
                signal_name="go",
                signal_payload={"b": 2},
                duration_ns=1_500_000_000,
            ),
        ],
        engine=[{"any": "thing"}],
    )


async def _ids(store: WorkflowStore, filter: WorkflowFilter | None) -> list[str]:
    return [state.workflow_id for state in await store.list(filter)]


async def _refused(call: Awaitable[None], text: str) -> None:
    try:
        await call
    except StoreError as error:
        assert text in str(error)  # noqa: PT017  # this is no test module, and pytest is not imported here
    else:
        raise AssertionError(f"the store took what it should refuse with {text!r}")
