"""What a call is refused with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from portal.core.errors import PortalError


def code_of(act: Callable[[], object]) -> str:
    """The code of the refusal. Fails when there is none."""
    with pytest.raises(PortalError) as refused:
        act()
    return refused.value.code
