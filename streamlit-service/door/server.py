"""SSH for people: their keys are asked for as /authz is, and lead to their own containers alone.

A jump host (ssh_config(5), ProxyJump): what is said inside is between a person's ssh and the
container's sshd, and no shell, file or agent is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable
from contextlib import suppress
from datetime import datetime
from functools import partial

import asyncssh
import structlog
from asyncssh.constants import DISC_NO_MORE_AUTH_METHODS_AVAILABLE
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, NotFound, PortalError, Unavailable
from portal.core.people import Certificate, SshKey, User
from portal.deployments import ssh_access
from portal.deployments.ssh_access import CLOSED, OPENED, Login, Target

from door.lane import Lane

LOGIN_S = 60.0
"""A PIN has to be typed."""
CONNECT_S = 10.0
LOOK_EVERY_S = 1.0
ASK_ANEW_EVERY = 30
KEEPALIVE_S, KEEPALIVES = 15, 4
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes256-ctr", "aes128-ctr")
"""Those that processors have instructions for: the door passes on every byte."""
ONLY_A_JUMP = (
    "This is the Container Portal's SSH door. It leads to your containers and has no shell:\n"
    "use it as a jump host, as SSH on your container's card shows.\n"
)
RESTARTS = Unavailable("restarts", "The SSH door restarts.", "Connect again in a moment.")
log = structlog.get_logger()


class Door:
    """Of one process: who is in, and whether each may stay."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self._inside: set[Visitor] = set()
        self._records: asyncio.Queue[partial[None]] = asyncio.Queue()

    async def listen(
        self, address: str, port: int, host_key: asyncssh.SSHKey
    ) -> asyncssh.SSHAcceptor:
        """Serve until the acceptor is closed."""
        return await asyncssh.create_server(
            lambda: Visitor(self),
            address,
            port,
            server_host_keys=[host_key],
            server_version="ContainerPortal",
            encryption_algs=CIPHERS,
            compression_algs=["none"],
            login_timeout=LOGIN_S,
            keepalive_interval=KEEPALIVE_S,
            keepalive_count_max=KEEPALIVES,
            agent_forwarding=False,
            allow_scp=False,
            process_factory=_only_a_jump,
            encoding=None,
        )

    def came(self, visitor: Visitor) -> None:
        """Somebody's key was accepted."""
        self._inside.add(visitor)

    def left(self, visitor: Visitor) -> None:
        """Their connection is closed."""
        self._inside.discard(visitor)

    async def watch(self) -> None:
        """End the connections of who may no longer be here, for as long as the process lives."""
        looks = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            looks += 1
            try:
                await self._look(looks)
            except DatabaseTrouble as trouble:  # away for a moment: whoever is inside stays for it
                log.warning("ssh_visitors_not_looked_at", code=trouble.code)
            except Exception:  # whatever was wrong with this look, the next comes
                log.exception("ssh_visitors_not_looked_at")

    async def _look(self, number: int) -> None:
        inside = tuple(self._inside)
        if not inside:
            return
        ids = {visitor.login.user.id for visitor in inside}
        standings = await asyncio.to_thread(ssh_access.standings, self.portal, ids)
        for at, visitor in enumerate(inside, number):
            standing = standings.get(visitor.login.user.id)
            # Everybody is asked about anew now and then, not all at once.
            same = standing == visitor.standing and at % ASK_ANEW_EVERY != 0
            if same and ssh_access.is_good(self.portal, visitor.key):
                continue
            visitor.standing = standing
            why = await asyncio.to_thread(visitor.may_stay)
            if why is not None:
                visitor.put_out(why)

    def note(self, action: str, user: User, target: Target, **details: object) -> None:
        """Record what happened, outside of the loop, in its order."""
        call = partial(ssh_access.note, self.portal, action, user, target.deployment, **details)
        self._records.put_nowait(call)

    async def record(self) -> None:
        """Write the records, for as long as the process lives."""
        while True:
            write = await self._records.get()
            try:
                await asyncio.to_thread(write)
            except DatabaseTrouble as trouble:
                log.warning("ssh_not_recorded", code=trouble.code, **write.keywords)
            finally:
                self._records.task_done()

    async def finish(self) -> None:
        """Close every connection, and wait until that is recorded."""
        for visitor in tuple(self._inside):
            visitor.put_out(RESTARTS)
        await asyncio.sleep(0)  # asyncssh closes in the next turn of the loop
        await asyncio.sleep(0)
        await self._records.join()


class Visitor(asyncssh.SSHServer):
    """One connection, of somebody whose key is asked for first."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection: asyncssh.SSHServerConnection | None = None
        self._login: Login | None = None
        self._key: Certificate | SshKey | None = None
        self._began: datetime = door.portal.now()
        self.standing: Hashable = None
        """As it was when it was last asked whether they may stay."""

    @property
    def login(self) -> Login:
        """Of who has proved to hold a key."""
        assert self._login is not None
        return self._login

    @property
    def key(self) -> Certificate | SshKey:
        """That they hold."""
        assert self._key is not None
        return self._key

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Somebody knocks."""
        self._connection = conn

    def connection_lost(self, _exc: Exception | None) -> None:
        """They are gone."""
        self._door.left(self)

    async def begin_auth(self, username: str) -> bool:
        """Who they say they are; who is nobody is asked for keys like everybody."""
        with suppress(NotFound):
            self._login = await asyncio.to_thread(ssh_access.login, self._door.portal, username)
        return True

    def public_key_auth_supported(self) -> bool:
        """Keys, and nothing else."""
        return True

    def validate_public_key(self, _username: str, key: asyncssh.SSHKey) -> bool:
        """Whether it is a key of theirs; asyncssh then has them prove that they hold it."""
        text = " ".join(key.export_public_key("openssh").decode().split()[:2])
        self._key = self._login.keys.get(text) if self._login else None
        return self._key is not None

    def auth_completed(self) -> None:
        """They have proved it: now they may be told why they may not come in."""
        self._door.came(self)
        if self.login.refusal:
            self.put_out(self.login.refusal)

    def connection_requested(
        self, dest_host: str, dest_port: int, _orig_host: str, _orig_port: int
    ) -> Awaitable[Lane]:
        """Lead them to a container of theirs. ChannelOpenError saying why not."""
        return self._lead(dest_host, dest_port)

    def may_stay(self) -> PortalError | None:
        """Why they may not."""
        text = self.key.key if isinstance(self.key, SshKey) else self.key.ssh_key
        return ssh_access.may_stay(self._door.portal, self.login, text, self._began)

    def put_out(self, why: PortalError) -> None:
        """Close the connection and all that runs in it, with the reason."""
        log.info("ssh_visitor_put_out", user=self.login.user.subject, code=why.code)
        if self._connection is not None:
            words = f"{why.message} {why.hint}"
            self._connection.disconnect(DISC_NO_MORE_AUTH_METHODS_AVAILABLE, words)

    async def _lead(self, host: str, port: int) -> Lane:
        assert self._connection is not None
        user = self.login.user
        try:
            found = await asyncio.to_thread(ssh_access.target, self._door.portal, user, host, port)
        except PortalError as error:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, f"{error.message} {error.hint}"
            ) from error
        peer = self._connection.get_extra_info("peername")
        details = {"key": ssh_access.fingerprint(self.key), "client": peer[0] if peer else ""}

        def ended(sent: int, received: int) -> None:
            self._door.note(CLOSED, user, found, **details, sent=sent, received=received)

        lane = Lane(ended)
        try:
            connecting = asyncio.get_running_loop().create_connection(
                lambda: lane.inside, found.address, found.port
            )
            await asyncio.wait_for(connecting, CONNECT_S)
        except (OSError, TimeoutError) as error:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_CONNECT_FAILED,
                f"{found.deployment.name} does not answer at {found.address}:{found.port}. Look at"
                " it on the portal's page.",
            ) from error
        self._door.note(OPENED, user, found, **details)
        return lane


async def _only_a_jump(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stderr.write(ONLY_A_JUMP.encode())
    process.exit(1)
