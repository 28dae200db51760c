"""Programs of the publisher that are missing, or do not end."""

from __future__ import annotations

import pytest
from portal.core.errors import EngineError
from publishing import tools


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(EngineError, match="no-such-program is not installed") as refused:
        tools.run("no-such-program", deadline_s=1)
    assert refused.value.code == "no_tool"


def test_a_program_that_does_not_end_is_ended() -> None:
    with pytest.raises(EngineError, match=r"sleep did not finish within 0\.05 s") as refused:
        tools.run("sleep", "60", deadline_s=0.05)
    assert refused.value.code == "tool_slow"
