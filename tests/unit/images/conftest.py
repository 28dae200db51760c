"""A curator."""

from __future__ import annotations

from dataclasses import replace

import pytest
from portal import users
from portal.context import Portal
from portal.core.people import User
from support.samples import identity


@pytest.fixture
def mei(portal: Portal) -> User:
    """A curator, by the setting."""
    curating = replace(
        portal, settings=portal.settings.model_copy(update={"curators": "4567890123"})
    )
    return users.user_of(curating, identity("4567890123", "Mei T Lin"))
