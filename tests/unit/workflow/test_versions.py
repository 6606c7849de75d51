from __future__ import annotations

import random

import pytest

from weft import workflow
from weft.errors import UsageError
from weft.workflow import Context, Workflow, Workflows, workflows_of
from weft.workflow._versions import version_key


def named(version: str, name: str = "fulfil") -> Workflow[None, None]:
    @workflow.define(name=name, version=version)
    async def definition(_ctx: Context) -> None: ...

    return definition


ORDER = [
    "",
    "a",
    "v1",
    "v2",
    "v10",
    "1",
    "2",
    "2-beta",
    "2.0",
    "2.9",
    "2.10",
    "3",
    "10",
    "2025-12-31",
    "2026-01-01",
]


def test_versions_are_in_the_order_that_people_expect() -> None:
    shuffled = random.Random(5).sample(ORDER, len(ORDER))
    assert sorted(shuffled, key=version_key) == ORDER


def test_newest_is_the_highest_however_they_were_given() -> None:
    for versions in (["1", "10", "9"], ["10", "9", "1"]):
        workflows = Workflows(named(one) for one in versions)
        assert workflows["fulfil"].version == "10"
        assert workflows.chosen("fulfil", "") == "10"
        assert [one.version for one in workflows.versions("fulfil")] == ["1", "9", "10"]


def test_run_gets_the_version_that_it_has_and_no_other() -> None:
    one, two = named("1"), named("2")
    workflows = Workflows([one, two])
    assert (workflows.find("fulfil", "1"), workflows.find("fulfil", "2")) == (one, two)
    assert workflows.find("fulfil", "3") is None
    assert "no version 3 of workflow 'fulfil' (deployed here: 1, 2)" in workflows.problem(
        "fulfil", "3"
    )
    assert "no workflow 'refund' (it has: fulfil)" in workflows.problem("refund", "1")
    assert workflows.problem("fulfil", "1") == ""


def test_run_without_a_version_belongs_to_the_definition_without_one_or_to_the_oldest() -> None:
    plain, one, two = named(""), named("1"), named("2")
    assert Workflows([one, plain, two]).find("fulfil", "") is plain
    assert Workflows([two, one]).find("fulfil", "") is one
    assert "one without a version" in Workflows([plain]).problem("fulfil", "7")


def test_wanted_version_is_chosen_where_it_is_here_or_required() -> None:
    workflows = Workflows([named("1"), named("2")])
    assert workflows.chosen("fulfil", "1") == "1"
    assert workflows.chosen("fulfil", "7") == "2"
    assert workflows.chosen("fulfil", "7", is_required=True) == "7"
    assert workflows.chosen("refund", "7") == ""


def test_two_definitions_of_one_name_and_version_are_refused() -> None:
    again = named("1")
    assert len(Workflows([again, again]).versions("fulfil")) == 1
    with pytest.raises(
        UsageError, match="two workflow definitions are called 'fulfil' in version '1'"
    ):
        Workflows([named("1"), again])


def test_definitions_come_and_go() -> None:
    workflows = Workflows([named("1")])
    newer = named("2")
    workflows.add(newer)
    assert workflows["fulfil"] is newer
    workflows.remove(newer)
    workflows.remove(named("1"))
    assert (list(workflows), len(workflows), workflows.get("fulfil")) == ([], 0, None)


def test_any_mapping_will_do_and_may_change() -> None:
    plain: dict[str, Workflow[None, None]] = {}
    workflows = workflows_of(plain)
    plain["fulfil"] = named("3")
    assert (workflows.chosen("fulfil", ""), list(workflows), len(workflows)) == ("3", ["fulfil"], 1)
    assert workflows_of(workflows) is workflows


@pytest.mark.parametrize("version", ["a\nb", "x" * 101])
def test_version_that_cannot_be_shown_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="a version has at most 100 printable characters"):
        named(version)
