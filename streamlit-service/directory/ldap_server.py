"""Groups from an LDAP directory (RFC 4511), by OpenLDAP's own library."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from portal.core.directory import STARTTLS, DirectorySettings, DirectoryTrouble, Listing

PEOPLE_AT_ONCE = 50
PAGE = 500
"""Entries of one answer: Active Directory gives no more than 1,000."""
GROUP_CLASSES = ("group", "groupOfNames", "groupOfUniqueNames", "posixGroup")
MEMBERS = ("member", "uniqueMember", "memberUid")
RANGE = re.compile(r"(?P<name>[^;]+);range=(?P<first>[0-9]+)-(?P<last>[0-9*]+)", re.IGNORECASE)
"""Active Directory gives long lists in parts (MS-ADTS, 3.1.1.3.1.3.3)."""
Entry = tuple[str, dict[str, list[bytes]]]


class LdapServer:
    """Asks the first server that answers. Every question has a deadline."""

    tells_who_left = True

    def __init__(self, settings: DirectorySettings) -> None:
        # OpenLDAP's library is in the services' image alone.
        import ldap  # noqa: PLC0415
        import ldap.controls  # noqa: PLC0415
        import ldap.dn  # noqa: PLC0415
        import ldap.filter  # noqa: PLC0415

        self._settings, self._ldap = settings, ldap

    def look_up(self, people: Mapping[int, Collection[str]]) -> dict[int, Listing | None]:
        """One question for every 50 people, and one for the groups."""
        names = {
            (kind, value.casefold()): user_id
            for user_id, subjects in people.items()
            for kind, _, value in (subject.partition(":") for subject in subjects)
            if kind in self._settings.attributes
        }
        try:
            with self._connected() as connection:
                entries = self._people(connection, names)
                groups = self._groups(connection) if entries else {}
        except self._ldap.LDAPError as error:
            raise DirectoryTrouble(_words(error)) from error
        found: dict[int, Listing | None] = {}
        for user_id, several in entries.items():
            if len(several) > 1:
                found[user_id] = None
                continue
            [(name, uids)] = several.items()
            of_person = groups.get(name, set()).union(*(groups.get(uid, set()) for uid in uids))
            found[user_id] = Listing(frozenset(of_person))
        return found

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        ldap, settings = self._ldap, self._settings
        trouble: Exception | None = None
        for server in settings.servers:
            connection = ldap.initialize(server)
            for option in (ldap.OPT_NETWORK_TIMEOUT, ldap.OPT_TIMEOUT):
                connection.set_option(option, settings.timeout_s)
            connection.set_option(ldap.OPT_REFERRALS, 0)
            connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
            if settings.ca_file:
                connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(settings.ca_file))
            try:
                connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
            except ValueError as error:
                raise DirectoryTrouble(f"{settings.ca_file} holds no authority") from error
            try:
                if server.startswith(STARTTLS):
                    connection.start_tls_s()
                connection.simple_bind_s(settings.user, self._password())
            except (ldap.SERVER_DOWN, ldap.TIMEOUT, ldap.CONNECT_ERROR) as error:
                trouble = error
                continue
            try:
                yield connection
            finally:
                connection.unbind_ext()
            return
        raise DirectoryTrouble(_words(trouble))

    def _password(self) -> str:
        file = self._settings.password_file
        try:
            return file.read_text(encoding="utf-8").strip() if file else ""
        except OSError as error:
            raise DirectoryTrouble(f"its password cannot be read: {error}") from error

    def _people(
        self, connection: Any, names: Mapping[tuple[str, str], int]
    ) -> dict[int, dict[str, set[str]]]:
        """By user, the entries that one of their names is in, each with its uids (memberUid)."""
        attributes = self._settings.attributes
        found: dict[int, dict[str, set[str]]] = {}
        all_names = list(names)
        for first in range(0, len(all_names), PEOPLE_AT_ONCE):
            wanted = "".join(
                f"({attributes[kind]}={self._ldap.filter.escape_filter_chars(value)})"
                for kind, value in all_names[first : first + PEOPLE_AT_ONCE]
            )
            query = f"(&{self._settings.filter}(|{wanted}))"
            asked = ["uid", *attributes.values()]
            for name, entry in self._search(connection, self._settings.base, query, asked):
                values = {key.casefold(): _texts(value) for key, value in entry.items()}
                uids = {f"uid:{uid}" for uid in values.get("uid", ())}
                for kind, attribute in attributes.items():
                    for value in values.get(attribute.casefold(), ()):
                        user_id = names.get((kind, value.casefold()))
                        if user_id is not None:
                            found.setdefault(user_id, {})[self._normal(name)] = uids
        return found

    def _groups(self, connection: Any) -> dict[str, set[str]]:
        """Names of groups that count, by each member: a distinguished name, or `uid:` and a uid."""
        classes = "".join(f"(objectClass={each})" for each in GROUP_CLASSES)
        patterns = "".join(
            "(cn={})".format(
                "*".join(
                    self._ldap.filter.escape_filter_chars(part)
                    for part in pattern.strip().split("*")
                )
            )
            for pattern in self._settings.groups.split(",")
        )
        query = f"(&(|{classes})(|{patterns}))"
        expression = "|".join(
            ".*".join(re.escape(part) for part in pattern.strip().casefold().split("*"))
            for pattern in self._settings.groups.split(",")
        )
        counts = re.compile(expression, re.DOTALL).fullmatch
        members: dict[str, set[str]] = {}
        base = self._settings.group_base
        for name, entry in self._search(connection, base, query, ["cn", *MEMBERS]):
            # Of several names those that count; one that may not be read names none.
            named = {cn.casefold() for cn in _texts(entry.get("cn", [])) if counts(cn.casefold())}
            for attribute, values in entry.items():
                for member in self._whole(connection, name, attribute, values):
                    kind = attribute.partition(";")[0].casefold()
                    if kind == "memberuid":
                        members.setdefault(f"uid:{member}", set()).update(named)
                    elif kind in ("member", "uniquemember"):
                        members.setdefault(self._normal(member), set()).update(named)
        return members

    def _whole(
        self, connection: Any, name: str, attribute: str, values: list[bytes]
    ) -> Iterator[str]:
        """All values of an attribute, of which the server may give parts."""
        yield from _texts(values)
        part = RANGE.fullmatch(attribute)
        while part and part["last"] != "*":
            asked = f"{part['name']};range={int(part['last']) + 1}-*"
            [(_, entry)] = connection.search_ext_s(
                name, self._ldap.SCOPE_BASE, attrlist=[asked], timeout=self._settings.timeout_s
            )
            parts = ((RANGE.fullmatch(key), value) for key, value in entry.items())
            part, values = next(((key, value) for key, value in parts if key), (None, []))
            yield from _texts(values)

    def _search(
        self, connection: Any, base: str, query: str, attributes: list[str]
    ) -> Iterator[Entry]:
        """All entries, page by page (RFC 2696)."""
        ldap = self._ldap
        control = ldap.controls.SimplePagedResultsControl(True, size=PAGE, cookie="")
        while True:
            asked = connection.search_ext(
                base,
                ldap.SCOPE_SUBTREE,
                query,
                attributes,
                serverctrls=[control],
                timeout=self._settings.timeout_s,
            )
            _, entries, _, controls = connection.result3(asked, timeout=self._settings.timeout_s)
            # Active Directory also names other servers, without a distinguished name.
            yield from ((name, entry) for name, entry in entries if name)
            cookies = [each.cookie for each in controls if each.controlType == control.controlType]
            if not cookies or not cookies[0]:
                return
            control.cookie = cookies[0]

    def _normal(self, name: str) -> str:
        """A distinguished name as all that are equal are written."""
        try:
            parts = self._ldap.dn.str2dn(name)
        except self._ldap.DECODING_ERROR:
            return name.casefold()
        return str(self._ldap.dn.dn2str(parts)).casefold()


def _texts(values: list[bytes]) -> list[str]:
    return [value.decode("utf-8", "replace").strip() for value in values]


def _words(error: Exception | None) -> str:
    """What OpenLDAP says, for an administrator."""
    details = error.args[0] if error and error.args and isinstance(error.args[0], dict) else {}
    said = [str(details[key]) for key in ("desc", "info") if details.get(key)]
    return ": ".join(said) or f"{type(error).__name__}"
