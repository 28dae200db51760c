"""SQLite has one writer at a time: everybody's turn comes, in the order of asking."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from portal import db
from portal.context import Portal
from portal.core.errors import DatabaseTrouble
from portal.core.people import User
from portal.db import sqlite


def queue_up(turns: sqlite.Turns, count: int, went: list[int]) -> list[threading.Thread]:
    """So many who wait, one after the other, each with a place of their own in the queue."""

    def go(number: int) -> None:
        with turns.taken(30):
            went.append(number)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(count)]
    for number, thread in enumerate(threads):
        thread.start()
        while turns.waiting <= number:
            threading.Event().wait(0.001)
    return threads


def test_turns_come_in_the_order_of_asking() -> None:
    turns, went = sqlite.Turns(), list[int]()
    with turns.taken(0):
        threads = queue_up(turns, 20, went)
    for thread in threads:
        thread.join()
    assert went == list(range(20))


def test_one_who_waited_in_vain_leaves_the_queue_to_the_others() -> None:
    turns, went = sqlite.Turns(), list[int]()
    with turns.taken(0):
        with pytest.raises(TimeoutError), turns.taken(0.01):
            went.append(-1)
        [thread] = queue_up(turns, 1, went)
    thread.join()
    with turns.taken(0):
        assert went == [0]


def test_one_who_is_interrupted_leaves_the_queue_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupted(threading.Event):
        def wait(self, _timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    turns = sqlite.Turns()
    with turns.taken(0):
        with monkeypatch.context() as patched:
            patched.setattr(threading, "Event", Interrupted)
            with pytest.raises(KeyboardInterrupt), turns.taken(1):
                pass
        assert turns.waiting == 0
    with turns.taken(0):
        pass


def test_a_turn_ends_with_the_error_of_the_one_who_had_it() -> None:
    turns = sqlite.Turns()
    with pytest.raises(ZeroDivisionError), turns.taken(0):
        raise ZeroDivisionError
    with turns.taken(0):
        pass


def test_a_writer_whose_turn_does_not_come_is_told_that_the_database_is_busy(
    portal: Portal, jane: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.05)

    def write() -> str:
        with pytest.raises(DatabaseTrouble) as busy, portal.database.transaction() as tx:
            db.users.all_users(tx)
        return busy.value.code

    with ThreadPoolExecutor(1) as pool, portal.database.transaction():
        assert pool.submit(write).result() == "database_busy"
    with portal.database.transaction() as tx:
        assert [user.id for user in db.users.all_users(tx)] == [jane.id]
