"""What the database says when it fails: never what was to be written."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from portal.context import Portal
from sqlalchemy.exc import SQLAlchemyError


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO nowhere VALUES (:token)", "SELECT id FROM users WHERE nothing = :token"],
)
def test_an_error_of_the_database_holds_no_value(portal: Portal, statement: str) -> None:
    with pytest.raises(SQLAlchemyError) as failed, portal.database.transaction() as tx:
        tx.execute(sa.text(statement), {"token": "a-notebooks-token"})
    assert "a-notebooks-token" not in f"{failed.value} {failed.value!r}"
    assert "hide_parameters" in str(failed.value)
