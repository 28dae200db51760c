"""The SSH door: whom it lets in, where it leads them, and that they are out when they must be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from door import host_key, server
from door.server import Door
from portal import db, deployments, users
from portal.context import Portal
from portal.core.models import Deployment, Order
from portal.core.people import User
from portal.deployments import ssh_access
from portal.users import sessions
from support.fakes import FakeClock
from support.samples import JANE, TEST
from support.ssh import made, text

WorkOff = Callable[..., Deployment]
REASON = "The laptop was lost."
HERE = f"127.0.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
"""Of this process alone: its VM has the real ports."""
SSHD = 10002
Client = asyncssh.SSHClientConnection


@pytest.fixture
def key(portal: Portal, jane: User) -> asyncssh.SSHKey:
    """One that Jane has added."""
    key = made()
    users.add_key(portal, jane, "Laptop", text(key))
    return key


@pytest.fixture
def shell(portal: Portal, jane: User, work_off: WorkOff) -> Deployment:
    """Jane's container with SSH."""
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, address=HERE)
    return work_off(deployments.request(portal, jane, Order("ml-cpu", "shell", ssh=True)).id)


@asynccontextmanager
async def opened(portal: Portal, folder: Path) -> AsyncIterator[int]:
    """The door, and an sshd that says back what it hears; the door's port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-container\r\n")
        while heard := await reader.read(65_536):
            writer.write(heard)
        writer.close()

    door = Door(portal)
    own = host_key.ensure(folder / "host_key", folder / "host_key.pub")
    acceptor = await door.listen(HERE, 0, own)
    tasks = [asyncio.create_task(door.watch()), asyncio.create_task(door.record())]
    inside = await asyncio.start_server(echo, HERE, SSHD)
    try:
        yield acceptor.get_port()
    finally:
        acceptor.close()
        await asyncio.wait_for(door.finish(), 10)
        inside.close()
        for task in tasks:
            task.cancel()


class Hears(asyncssh.SSHClient):
    """Why its connection ended."""

    said: Exception | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.said = exc


def at(
    port: int, key: asyncssh.SSHKey, who: str = JANE.subject, **options: Any
) -> Awaitable[Client]:
    usual = {"known_hosts": None, "agent_path": None, "config": None, "client_keys": [key]}
    return asyncssh.connect(HERE, port, username=who, **usual | options)


def run(portal: Portal, folder: Path, story: Callable[[int], Awaitable[None]]) -> None:
    async def told() -> None:
        async with opened(portal, folder) as port:
            await asyncio.wait_for(story(port), 20)

    asyncio.run(told())


@pytest.mark.parametrize("place", [("shell", 22), (HERE, SSHD)])
def test_a_key_leads_to_ones_own_container_by_name_or_address(
    portal: Portal, tmp_path: Path, key: asyncssh.SSHKey, shell: Deployment, place: tuple[str, int]
) -> None:
    async def story(port: int) -> None:
        async with await at(port, key) as client:
            reader, writer = await client.open_connection(*place)
            assert await reader.readline() == b"SSH-2.0-container\r\n"
            writer.write(b"x" * 500_000)
            assert await reader.readexactly(500_000) == b"x" * 500_000
            writer.write_eof()
            assert await reader.read() == b""
            [open_now] = sessions.of_user(portal, TEST, JANE.subject)
            assert (open_now.way, open_now.address) == ("ssh", "127.0.0.1")

    run(portal, tmp_path, story)
    assert sessions.of_user(portal, TEST, JANE.subject) == []
    with portal.database.reading() as tx:
        [first, last] = db.audit.events(tx, f"deployment:{shell.id}")[-2:]
    assert (first.action, last.action, last.actor) == ("ssh.opened", "ssh.closed", JANE.subject)
    assert (last.details["sent"], last.details["received"]) == (500_000, 500_019)
    assert (last.details["client"], str(last.details["key"])[:7]) == ("127.0.0.1", "SHA256:")


def test_the_cards_key_opens_too_until_it_is_revoked(
    portal: Portal, tmp_path: Path, shell: Deployment
) -> None:
    card = made()
    users.user_of(portal, replace(JANE, fingerprint="9" * 64, ssh_key=text(card), pem="x"))
    revoked: set[str] = set()
    asked = replace(portal, card_counts=lambda each: each.fingerprint not in revoked)

    async def story(port: int) -> None:
        async with await at(port, card) as client:
            await client.open_connection("shell", 22)
            revoked.add("9" * 64)
            await client.wait_closed()
        with pytest.raises(asyncssh.PermissionDenied):
            await at(port, card)

    run(asked, tmp_path, story)


def test_added_keys_count_while_one_of_the_cards_does(
    portal: Portal, tmp_path: Path, key: asyncssh.SSHKey, shell: Deployment
) -> None:
    revoked: set[str] = set()
    asked = replace(portal, card_counts=lambda each: each.fingerprint not in revoked)

    async def story(port: int) -> None:
        async with await at(port, key) as client:
            await client.open_connection("shell", 22)
            revoked.add(JANE.fingerprint)
            await client.wait_closed()
        with pytest.raises(asyncssh.PermissionDenied):
            await at(port, key)

    run(asked, tmp_path, story)


def test_a_cards_key_that_was_added_by_hand_goes_with_the_card(
    portal: Portal, tmp_path: Path, key: asyncssh.SSHKey
) -> None:
    """Added before that card first came."""
    users.user_of(portal, replace(JANE, fingerprint="9" * 64, ssh_key=text(key), pem="x"))
    asked = replace(portal, card_counts=lambda each: each.fingerprint == JANE.fingerprint)

    async def story(port: int) -> None:
        with pytest.raises(asyncssh.PermissionDenied):
            await at(port, key)

    run(asked, tmp_path, story)


def test_who_tries_many_keys_is_sent_away(
    portal: Portal, tmp_path: Path, key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_KEYS", 2)

    async def story(port: int) -> None:
        with pytest.raises((asyncssh.Error, OSError)):
            await at(port, key, client_keys=[made(), made(), key])
        async with await at(port, key):
            pass

    run(portal, tmp_path, story)


def test_strangers_who_come_in_numbers_keep_nobody_out(
    portal: Portal, tmp_path: Path, key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_STRANGERS", 3)

    async def story(port: int) -> None:
        async with await at(port, key):  # who is in takes no stranger's place
            silent = [await asyncio.open_connection(HERE, port) for _ in range(3)]
            async with await at(port, key):
                reader, _ = silent[0]
                while await reader.read(1024):  # the oldest gives way, after its greeting
                    pass
            for _, writer in silent:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    run(portal, tmp_path, story)


def test_a_container_that_came_after_its_owner_is_found(
    portal: Portal, jane: User, shell: Deployment
) -> None:
    early = replace(jane, range_index=None)  # when they signed in, they had no ports
    assert ssh_access.target(portal, early, shell.name, 22).deployment.id == shell.id


def test_other_keys_and_names_open_nothing(
    portal: Portal, tmp_path: Path, key: asyncssh.SSHKey, john: User, shell: Deployment
) -> None:
    async def story(port: int) -> None:
        for wrong, who in ((made(), JANE.subject), (key, john.subject), (key, "edipi:0")):
            with pytest.raises(asyncssh.PermissionDenied):
                await at(port, wrong, who)

    run(portal, tmp_path, story)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (("his", 22), "no container 'his'"),
        (("localhost", 22), "no container 'localhost'"),
        ((HERE, 5432), "no container"),
        (("quiet", 22), "without SSH"),
        (("stopped", 22), "does not run"),
    ],
)
def test_what_is_not_ones_own_or_does_not_run_is_said_in_words(
    portal: Portal,
    tmp_path: Path,
    jane: User,
    john: User,
    key: asyncssh.SSHKey,
    shell: Deployment,
    work_off: WorkOff,
    place: tuple[str, int],
    words: str,
) -> None:
    small = partial(Order, "ml-cpu", memory_gb=1, cpus=1)
    work_off(deployments.request(portal, john, small("his", ssh=True)).id)
    work_off(deployments.request(portal, jane, small("quiet")).id)
    gone = deployments.request(portal, jane, small("stopped", ssh=True))
    work_off(gone.id)
    deployments.act(portal, jane, gone.id, "stop")
    work_off(gone.id)

    async def story(port: int) -> None:
        async with await at(port, key) as client:
            with pytest.raises(asyncssh.ChannelOpenError, match=words):
                await client.open_connection(*place)

    run(portal, tmp_path, story)


def test_there_is_no_shell_at_the_door(
    portal: Portal, tmp_path: Path, key: asyncssh.SSHKey
) -> None:
    async def story(port: int) -> None:
        async with await at(port, key) as client:
            said = await client.run("id")
            assert (said.exit_status, "jump host" in str(said.stderr)) == (1, True)
            with pytest.raises(asyncssh.ChannelOpenError):
                await client.start_sftp_client()

    run(portal, tmp_path, story)


@pytest.mark.parametrize(
    "end",
    [
        lambda portal, jane: deployments.disable(portal, TEST, jane.subject, REASON),
        lambda portal, jane: deployments.retire(portal, TEST, jane.subject, REASON),
        lambda portal, jane: users.end_sessions(portal, TEST, jane.subject, REASON),
        lambda portal, jane: users.remove_key(
            portal, jane, users.user_of(portal, JANE).ssh_keys[0].fingerprint
        ),
    ],
    ids=["disabled", "retired", "sessions ended", "key removed"],
)
def test_who_may_no_longer_be_in_is_out(
    portal: Portal,
    tmp_path: Path,
    jane: User,
    key: asyncssh.SSHKey,
    shell: Deployment,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Portal, User], object],
) -> None:
    monkeypatch.setattr(server, "LOOK_EVERY_S", 0.05)

    async def story(port: int) -> None:
        client = await at(port, key)
        reader, _ = await client.open_connection("shell", 22)
        await reader.readline()
        clock.forward(1)
        end(portal, jane)
        await client.wait_closed()

    run(portal, tmp_path, story)


def test_who_is_disabled_is_told_so_and_only_with_their_key(
    portal: Portal, tmp_path: Path, jane: User, key: asyncssh.SSHKey
) -> None:
    deployments.disable(portal, TEST, jane.subject, REASON)
    hears = Hears()

    async def story(port: int) -> None:
        client = await at(port, key, client_factory=lambda: hears)
        await client.wait_closed()
        assert "account is disabled" in str(hears.said)
        with pytest.raises(asyncssh.PermissionDenied, match="Permission denied"):
            await at(port, made())

    run(portal, tmp_path, story)


def test_a_container_that_does_not_answer_is_named(
    portal: Portal, tmp_path: Path, key: asyncssh.SSHKey, shell: Deployment
) -> None:
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, address="127.255.255.254")

    async def story(port: int) -> None:
        async with await at(port, key) as client:
            with pytest.raises(asyncssh.ChannelOpenError, match="shell does not answer"):
                await client.open_connection("shell", 22)

    run(portal, tmp_path, story)


def test_the_doors_key_stays_the_same(tmp_path: Path) -> None:
    paths = tmp_path / "host_key", tmp_path / "host_key.pub"
    first = host_key.ensure(*paths)
    assert host_key.ensure(*paths).get_fingerprint() == first.get_fingerprint()
    assert (paths[0].stat().st_mode & 0o777, text(first)) == (0o600, paths[1].read_text().strip())
