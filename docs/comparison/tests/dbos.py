import pytest
from approval import approval
from dbos import DBOS


@pytest.fixture
def reset_dbos():
    DBOS.destroy()
    DBOS(config={"name": "approval"})
    DBOS.reset_system_database()
    DBOS.launch()


def test_approved(reset_dbos):
    handle = DBOS.start_workflow(approval, "order-1")
    DBOS.send(handle.workflow_id, "Grace", "approval")
    assert handle.get_result() == "order-1: approved by Grace"


def test_nobody_approves(reset_dbos, monkeypatch):
    monkeypatch.setattr(DBOS, "recv", lambda topic, timeout_seconds: None)
    assert approval("order-1") == "order-1: nobody approved"
