"""SSH for people: their keys are asked for as /authz is, and lead to their own containers alone.

A jump host (ssh_config(5), ProxyJump): what is said inside is between a person's ssh and the
container's sshd, and no shell, file or agent is here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TypeVar

import asyncssh
import structlog
from asyncssh.constants import DISC_NO_MORE_AUTH_METHODS_AVAILABLE
from certificates.presented import described
from portal.audit.refusals import STRANGER, Refusals
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, NotFound, PortalError, Unavailable
from portal.core.people import Certificate, Origin, SshKey, User
from portal.deployments import ssh_access
from portal.deployments.ssh_access import CLOSED, OPENED, Login, Target
from portal.users import sessions
from portal.users.sessions import RENEW_EVERY_S, OpenSessions

from door.lane import Lane
from door.records import Records

LOGIN_S = 60.0
"""A PIN has to be typed."""
CONNECT_S = 10.0
LOOK_EVERY_S = 1.0
ASK_ANEW_EVERY = 30
AT_ONCE = 4
MAX_STRANGERS = 100
"""Connections that have shown no key yet (as sshd_config's MaxStartups)."""
MAX_KEYS = 12
"""That one connection may try: an agent may hold several, and two cards have four."""
MAX_LANES = 64
"""Connections into containers by one of a person's."""
T = TypeVar("T")
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
        self._sessions = OpenSessions(portal)
        self._refusals = Refusals(portal, sessions.SSH)
        self._records = Records()
        # Strangers who ask keep nobody's right from being looked at.
        self._logins = ThreadPoolExecutor(AT_ONCE, "ssh-login")
        self._looks = ThreadPoolExecutor(AT_ONCE, "ssh-look")
        self._knocking: dict[str, dict[Visitor, None]] = {}
        """Address → connections that have shown no key yet, the oldest first."""

    def knocks(self, visitor: Visitor) -> None:
        """Somebody comes. Where too many do, the oldest of the busiest address gives way.

        So nobody keeps others out by coming often, and hardly those who come from the same address.
        """
        if sum(map(len, self._knocking.values())) >= MAX_STRANGERS:
            busiest = max(self._knocking.values(), key=len)
            next(iter(busiest)).give_way()
        self._knocking.setdefault(visitor.address, {})[visitor] = None

    def knocks_no_more(self, visitor: Visitor) -> None:
        """They have shown it, or are gone."""
        of_address = self._knocking.get(visitor.address, {})
        of_address.pop(visitor, None)
        if not of_address:
            self._knocking.pop(visitor.address, None)

    async def for_login(self, call: Callable[..., T], *arguments: object) -> T:
        """What a call says, of whom nobody knows yet."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._logins, partial(call, *arguments))

    async def for_look(self, call: Callable[..., T], *arguments: object) -> T:
        """What a call says, of those inside."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._looks, partial(call, *arguments))

    async def listen(
        self, address: str, port: int, host_key: asyncssh.SSHKey
    ) -> asyncssh.SSHAcceptor:
        """Serve until the acceptor is closed."""
        self._refusals.follow()
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
        user_id, address = visitor.login.user.id, visitor.address
        self._records.put(
            partial(self._sessions.open, visitor.session, user_id, sessions.SSH, address)
        )

    def left(self, visitor: Visitor) -> None:
        """Their connection is closed."""
        if visitor in self._inside:
            self._inside.discard(visitor)
            self._records.put(partial(self._sessions.close, visitor.session))

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
        if number % RENEW_EVERY_S == 0:
            self._records.put(partial(self._sessions.renew))
        ids = {visitor.login.user.id for visitor in inside}
        standings = await self.for_look(ssh_access.standings, self.portal, ids)
        for at, visitor in enumerate(inside, number):
            standing = standings.get(visitor.login.user.id)
            # Everybody is asked about anew now and then, not all at once.
            same = standing == visitor.standing and at % ASK_ANEW_EVERY != 0
            if same and ssh_access.is_good(self.portal, visitor.login, visitor.key):
                continue
            why = await self.for_look(visitor.may_stay)
            visitor.standing = standing
            if why is not None:
                visitor.put_out(why)

    def note(self, action: str, user: User, target: Target, **details: object) -> None:
        """Record what happened, outside of the loop, in its order."""
        at, about = self.portal.now(), target.deployment
        self._records.put(partial(ssh_access.note, self.portal, at, action, user, about, **details))

    async def record(self) -> None:
        """Write the records, for as long as the process lives."""
        await self._records.write(self.for_look)

    def refuse(self, code: str, who: str, address: str, username: str) -> None:
        """Record that somebody was not let in."""
        self._refusals.note(code, who, Origin(address), username)

    async def finish(self) -> None:
        """Close every connection, and wait until that is recorded."""
        for visitor in tuple(self._inside):
            visitor.put_out(RESTARTS)
        await asyncio.sleep(0)  # asyncssh closes in the next turn of the loop
        await asyncio.sleep(0)
        await self._records.finish()
        await self.for_look(self._refusals.close)


class Visitor(asyncssh.SSHServer):
    """One connection, of somebody whose key is asked for first."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection: asyncssh.SSHServerConnection | None = None
        self._login: Login | None = None
        self._key: Certificate | SshKey | None = None
        self._began: datetime = door.portal.now()
        self.address = ""
        self.session = sessions.new_id()
        self._username, self._refused_keys = "", 0
        self._lanes = 0
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
        peer = conn.get_extra_info("peername")
        self.address = peer[0] if peer else ""
        self._door.knocks(self)

    def give_way(self) -> None:
        """To somebody else who knocks."""
        log.warning("ssh_too_many_strangers", client=self.address)
        self._door.knocks_no_more(self)
        if self._connection is not None:
            self._connection.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        """They are gone."""
        self._door.knocks_no_more(self)
        self._door.left(self)
        if self._key is None and self._refused_keys:
            self._door.refuse("no_such_key", STRANGER, self.address, self._username)
            tried = {"keys": self._refused_keys, "client": self.address}
            log.warning("ssh_refused", user=self._username[:100], **tried)

    async def begin_auth(self, username: str) -> bool:
        """Who they say they are; who is nobody is asked for keys like everybody."""
        self._login, self._username = None, username
        with suppress(NotFound):
            self._login = await self._door.for_login(ssh_access.login, self._door.portal, username)
        return True

    def public_key_auth_supported(self) -> bool:
        """Keys, and nothing else."""
        return True

    def validate_public_key(self, _username: str, key: asyncssh.SSHKey) -> bool:
        """Whether it is a key of theirs; asyncssh then has them prove that they hold it."""
        text = " ".join(key.export_public_key("openssh").decode().split()[:2])
        self._key = self._login.keys.get(text) if self._login else None
        if self._key is None:
            self._refused_keys += 1
            if self._refused_keys >= MAX_KEYS and self._connection is not None:
                self._connection.abort()
        return self._key is not None

    def auth_completed(self) -> None:
        """They have proved it: now they may be told why they may not come in."""
        self._door.knocks_no_more(self)
        refusal = self.login.refusal or self.login.consent
        if refusal:
            who = self.login.user.subject
            self._door.refuse(refusal.code, who, self.address, self._username)
            self.put_out(refusal)
        else:
            self._door.came(self)

    def connection_requested(
        self, dest_host: str, dest_port: int, _orig_host: str, _orig_port: int
    ) -> Awaitable[Lane]:
        """Lead them to a container of theirs. ChannelOpenError saying why not."""
        return self._lead(dest_host, dest_port)

    def may_stay(self) -> PortalError | None:
        """Why they may not."""
        portal = self._door.portal
        text = self.key.key if isinstance(self.key, SshKey) else self.key.ssh_key
        why = ssh_access.may_stay(portal, self.login, text, self._began)
        if why is None:
            ssh_access.note_seen(portal, self.login, self.key, self.address)
        return why

    def put_out(self, why: PortalError) -> None:
        """Close the connection and all that runs in it, with the reason."""
        log.info("ssh_visitor_put_out", user=self.login.user.subject, code=why.code)
        if self._connection is not None:
            words = f"{why.message} {why.hint}"
            self._connection.disconnect(DISC_NO_MORE_AUTH_METHODS_AVAILABLE, words)

    async def _lead(self, host: str, port: int) -> Lane:
        if self._lanes >= MAX_LANES:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_RESOURCE_SHORTAGE, f"{MAX_LANES} connections are open already."
            )
        self._lanes += 1
        try:
            return await self._opened(self.login.user, host, port)
        except BaseException:
            self._lanes -= 1
            raise

    async def _opened(self, user: User, host: str, port: int) -> Lane:
        try:
            found = await self._door.for_look(
                ssh_access.target, self._door.portal, user, host, port
            )
        except PortalError as error:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, f"{error.message} {error.hint}"
            ) from error
        details = {"key": ssh_access.fingerprint(self.key), "client": self.address}
        if isinstance(self.key, Certificate):
            details |= described(self.key.pem)

        def ended(sent: int, received: int) -> None:
            self._lanes -= 1
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
