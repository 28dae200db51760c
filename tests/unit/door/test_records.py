"""Who came and went is written down, later where the database is away, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from door import records
from door.records import Records
from portal.core.errors import DatabaseTrouble

AWAY = DatabaseTrouble("database_away", "The database does not answer.", "Wait.")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "AGAIN_S", 0.001)


class Database:
    """It is away for so many tries."""

    def __init__(self, away: float) -> None:
        self.away = away
        self.written: list[int] = []

    def write(self, number: int) -> None:
        if self.away:
            self.away -= 1
            raise AWAY
        if number < 0:
            raise ValueError("no number")
        self.written.append(number)


async def run(write: partial[None]) -> None:
    write()


def told(story: Callable[[Records], Awaitable[None]], **how: Any) -> None:
    async def tell() -> None:
        book = Records(**how)
        writing = asyncio.create_task(book.write(run))
        await story(book)
        await asyncio.wait_for(book.finish(), 5)
        writing.cancel()

    asyncio.run(tell())


def test_what_waits_for_the_database_is_written_in_its_order() -> None:
    database = Database(away=20)

    async def story(book: Records) -> None:
        for number in range(5):
            book.put(partial(database.write, number))
        await asyncio.sleep(0.1)

    told(story)
    assert database.written == [0, 1, 2, 3, 4]


def test_one_that_is_wrong_keeps_no_other_back() -> None:
    database = Database(away=0)

    async def story(book: Records) -> None:
        for number in (1, -1, 2):
            book.put(partial(database.write, number))

    told(story)
    assert database.written == [1, 2]


def test_the_end_waits_for_no_database_that_is_away() -> None:
    database = Database(away=float("inf"))

    async def story(book: Records) -> None:
        for number in range(100):
            book.put(partial(database.write, number))

    told(story)
    assert database.written == []


def test_where_too_many_wait_the_newest_are_in_the_log_alone() -> None:
    database = Database(away=0)

    async def story(book: Records) -> None:
        for number in range(10):
            book.put(partial(database.write, number))

    told(story, most=3)
    assert database.written == [0, 1, 2]
