from unittest.mock import Mock

import pytest
from approval import approval


def test_approved():
    steps = approval()(Mock(), "order-1")
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send("Grace")
    assert end.value.value == "order-1: approved by Grace"


def test_nobody_approves():
    steps = approval()(Mock(), "order-1")
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.throw(TimeoutError())
    assert end.value.value == "order-1: nobody approved"
