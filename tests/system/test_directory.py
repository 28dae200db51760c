"""Groups, and who has left, from a real LDAP directory: OpenLDAP's slapd, over TLS."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import builds
import docker
import httpx2
import pki
import pytest
from builds import StackError
from docker.models.containers import Container
from harness import HARNESS
from harness.people import JANE, JOHN, Person, client, wait_until
from portal.users.directory import LEFT, WHO
from stack import Stack

IMAGE = "container-portal-test-directory:dev"
NAME = "directory.example.org"
PEOPLE, GROUPS = "ou=people,dc=example,dc=org", "ou=groups,dc=example,dc=org"
JOHNS_ENTRY = f"cn=Röe\\, John,{PEOPLE}"
LOOK = ("python3", "admin.py", "group", "look")
LOOKS_S = 5
SERVE = "exec slapd -f /etc/directory/slapd.conf -h 'ldap:/// ldaps:/// ldapi:///' -d 256"
"""In the foreground; connections and operations are logged."""
OF_DIRECTORY = {
    "URL": f"ldaps://{NAME}",
    "USER": "cn=portal,dc=example,dc=org",
    "PASSWORD_FILE": "/etc/portal/directory/password",
    "CA_FILE": "/etc/portal/directory/ca.pem",
    "BASE": PEOPLE,
    "GROUP_BASE": GROUPS,
    "FILTER": "(&(objectClass=person)(!(employeeType=left)))",
    "NAMES": "edipi=employeeNumber,upn=mail",
    "TIMEOUT_S": "2",
    "INTERVAL_S": str(LOOKS_S),
}


@pytest.fixture(scope="module")
def folder(stack: Stack) -> Path:
    """What the worker sees of it."""
    folder = stack.home / "directory"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    (folder / "password").write_text("of the portal\n")
    (folder / "ca.pem").write_bytes(pki.pem(stack.authority().root.certificate))
    (folder / "another.pem").write_bytes(pki.pem(pki.Authority("Another").root.certificate))
    return folder


@pytest.fixture(scope="module")
def server(stack: Stack) -> Iterator[Container]:
    """The directory, on the portal's network."""
    builds.build(HARNESS / "directory", IMAGE)
    authority = stack.authority()
    issued = authority.server([NAME])
    files = {
        "ca.pem": pki.pem(authority.root.certificate),
        "server.pem": pki.pem(issued.certificate, authority.servers.certificate),
        "server.key": pki.key_pem(issued.key),
    }
    placed = "; ".join(
        f"printf %s {shlex.quote(text.decode())} > /etc/directory/{name}"
        for name, text in files.items()
    )
    engine = docker.from_env()
    box = engine.containers.create(IMAGE, ["sh", "-c", f"{placed}; {SERVE}"], hostname=NAME)
    engine.networks.get(f"{stack.project}_portal").connect(box, aliases=[NAME])
    box.start()
    yield box
    box.remove(force=True)


@pytest.fixture(scope="module")
def asked(stack: Stack, server: Container, folder: Path) -> Iterator[Stack]:
    """The portal asks it, every five seconds; afterwards as before."""
    stack.settings["PORTAL_DIRECTORY_FOLDER"] = str(folder)
    stack.settings |= {f"PORTAL_DIRECTORY_{name}": value for name, value in OF_DIRECTORY.items()}
    again(stack)
    yield stack
    for name in [each for each in stack.settings if each.startswith("PORTAL_DIRECTORY_")]:
        del stack.settings[name]
    again(stack)
    for group, member in (("gpu-vision", JANE), ("gpu-vision", JOHN), ("gpu-speech", JANE)):
        with suppress(StackError):  # not in it any more
            stack.admin("group", "remove", group, member)


def again(stack: Stack) -> None:
    stack.compose("up", "-d", "--wait", "--no-deps", "worker", capture=True)


def look(stack: Stack, **settings: str) -> str:
    """What the command says with other settings."""
    given = [f"--env=PORTAL_DIRECTORY_{name}={value}" for name, value in settings.items()]
    script = f"{shlex.join(LOOK)} 2>&1 || true"
    return stack.compose("exec", "-T", *given, "worker", "sh", "-c", script, capture=True)


def change(server: Container, ldif: str) -> None:
    """As the directory's own administrator does."""
    command = [
        "sh",
        "-ec",
        f"printf %s {shlex.quote(ldif)} | ldapmodify -Q -Y EXTERNAL -H ldapi:///",
    ]
    code, said = server.exec_run(command)
    assert code == 0, said


def me(person: Person) -> dict[str, Any]:
    answer = person.http.get("/api/v1/me")
    assert answer.status_code == 200, answer.text
    mine: dict[str, Any] = answer.json()
    return mine


def status(stack: Stack) -> str:
    return next(
        line for line in stack.admin("health", "--lines").splitlines() if "\tdirectory\t" in line
    )


def test_people_are_in_the_groups_of_the_directory_that_count(
    asked: Stack, jane: Person, john: Person
) -> None:
    wait_until(lambda: me(john)["groups"] == ["gpu-vision"], "John is in his group", 30)
    assert me(jane)["groups"] == ["gpu-speech", "gpu-vision"]  # no canteen, no gpu-admins
    assert status(asked).startswith("ok\tdirectory")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"URL": f"ldap://{NAME}"}, ""),  # by StartTLS
        ({"URL": f"ldaps://nowhere.example.org ldaps://{NAME}"}, ""),  # the next that answers
        ({"URL": "ldaps://nowhere.example.org"}, "Can't contact LDAP server"),
        ({"CA_FILE": "/etc/portal/directory/another.pem"}, "Can't contact LDAP server"),
        ({"CA_FILE": "/etc/portal/directory/none.pem"}, "none.pem holds no authority"),
        ({"PASSWORD_FILE": "/etc/portal/directory/ca.pem"}, "Invalid credentials"),
        ({"BASE": "ou=nobody,dc=example,dc=org"}, "No such object"),
        ({"GROUP_BASE": "ou=nothing,dc=example,dc=org"}, "No such object"),
        ({"FILTER": "(objectClass=person"}, "Bad search filter"),
    ],
)
def test_a_directory_that_cannot_be_asked_changes_nothing(
    asked: Stack, jane: Person, settings: dict[str, str], problem: str
) -> None:
    before = me(jane)["groups"]
    said = look(asked, **settings)
    assert problem in said if problem else said.startswith("People: "), said
    assert me(jane)["groups"] == before


def test_who_is_put_into_a_group_or_taken_out_is_so_at_the_next_look(
    asked: Stack, server: Container, jane: Person
) -> None:
    group = f"dn: cn=gpu-speech,{GROUPS}\nchangetype: modify\n"
    change(server, f"{group}delete: memberUid\nmemberUid: jdoe\n")
    wait_until(lambda: me(jane)["groups"] == ["gpu-vision"], "Jane left gpu-speech", 30)
    change(server, f"{group}add: memberUid\nmemberUid: jdoe\n")
    wait_until(lambda: "gpu-speech" in me(jane)["groups"], "Jane is back in gpu-speech", 30)


def test_who_has_left_is_out_and_who_is_back_comes_in(
    asked: Stack, server: Container, john: Person, record_property: Callable[[str, object], None]
) -> None:
    entry = f"dn: {JOHNS_ENTRY}\nchangetype: modify\n"

    def out() -> bool:
        return john.http.get("/api/v1/me").status_code == httpx2.codes.FORBIDDEN

    change(server, f"{entry}add: employeeType\nemployeeType: left\n")
    left = time.monotonic()
    try:
        wait_until(out, "John is out", 30)
        record_property("who left the directory", f"out after {time.monotonic() - left:.1f} s")
        [his] = [
            each for each in json.loads(asked.admin("user", "list")) if each["subject"] == JOHN
        ]
        assert (his["disabled_by"], his["disabled_reason"]) == (WHO, LEFT)
    finally:
        change(server, f"{entry}delete: employeeType\n")
        wait_until(lambda: not out(), "John is in again", 30)
    assert me(john)["groups"] == ["gpu-vision"]


def test_who_signs_in_first_is_in_their_groups_a_moment_later(
    asked: Stack, server: Container, newcomer: Callable[[str], Person]
) -> None:
    crowd = "".join(
        f"dn: uid=p{number},{PEOPLE}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: p{number}\n"
        f"cn: p{number}\nsn: p\nmail: p{number}@example.org\n\n"
        for number in range(3)
    )
    change(
        server,
        f"{crowd}dn: cn=gpu-vision,{GROUPS}\nchangetype: modify\nadd: member\n"
        f"member: uid=p1,{PEOPLE}\n",
    )
    person = newcomer("p1@example.org")
    person.http.get("/api/v1/me")
    wait_until(lambda: me(person)["groups"] == ["gpu-vision"], "the newcomer is in a group", 4)


def test_a_directory_that_stops_is_told_and_shuts_nobody_out(
    asked: Stack, server: Container, jane: Person
) -> None:
    server.pause()
    try:
        wait_until(lambda: status(asked).startswith("warning"), "health tells of the directory", 40)
        assert "It last answered" in status(asked)
        assert me(jane)["groups"] == ["gpu-speech", "gpu-vision"]
    finally:
        server.unpause()
    look(asked)
    assert status(asked).startswith("ok")


@pytest.fixture
def newcomer(stack: Stack) -> Iterator[Callable[[str], Person]]:
    """Somebody with a card of a UPN alone, who was never here."""
    made: list[Person] = []

    def come(upn: str) -> Person:
        authority, name = stack.authority(), upn.partition("@")[0]
        pki.write_person(stack.certs, name, authority.person(f"PERSON.{name}", upn), authority)
        made.append(Person(name, client(stack, name)))
        return made[-1]

    yield come
    for each in made:
        each.http.close()
