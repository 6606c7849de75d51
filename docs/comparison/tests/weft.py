from datetime import timedelta

from approval import approval


def test_approved_after_a_day(env):
    run = env.start(approval, "order-1")
    run.signal("approval", "Grace", after=timedelta(days=1))
    assert run.result() == "order-1: approved by Grace"


def test_nobody_approves(env):
    assert env.start(approval, "order-1").result() == "order-1: nobody approved"
