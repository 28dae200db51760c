"""What the directory says is carried over; a directory in trouble changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pytest
from portal import users
from portal.context import Portal
from portal.core.directory import DirectoryTrouble, Listing
from portal.core.errors import Forbidden
from portal.core.people import User
from portal.jobs.directory import DirectoryLooks
from portal.monitoring import health
from portal.users import accounts
from portal.users import directory as use_case
from support.fakes import FakeClock
from support.samples import JANE, JOHN, TEST, actions, identity


@dataclass
class Paper:
    """Stands in for an LDAP server; the real one is in tests/system/test_directory.py."""

    tells_who_left: bool = True
    lists: dict[str, Listing | None] = field(default_factory=dict)
    trouble: str = ""
    asked: int = 0

    def look_up(self, people: Mapping[int, Collection[str]]) -> dict[int, Listing | None]:
        self.asked += 1
        if self.trouble:
            raise DirectoryTrouble(self.trouble)
        return {
            user_id: self.lists[name]
            for user_id, names in people.items()
            for name in names
            if name in self.lists
        }

    def put(self, who: User, *groups: str, leads: frozenset[str] | None = None) -> None:
        self.lists[who.subject] = Listing(frozenset(groups), leads)


@pytest.fixture
def paper(portal: Portal, jane: User, john: User) -> Paper:
    """Jane in gpu-vision and gpu-speech, John in gpu-vision."""
    paper = Paper()
    paper.put(jane, "gpu-vision", "gpu-speech")
    paper.put(john, "gpu-vision")
    return paper


def status(portal: Portal) -> health.Status:
    return next(each for each in health.of_records(portal) if each.check == "directory")


def test_people_are_in_the_groups_that_the_directory_names(portal: Portal, paper: Paper) -> None:
    done = use_case.look(portal, paper)
    assert (done.people, done.missing, done.problem) == (2, 0, "")
    jane = users.user_of(portal, JANE)
    assert (jane.group, jane.groups) == ("gpu-speech", ("gpu-speech", "gpu-vision"))
    paper.put(jane, "gpu-vision")
    use_case.look(portal, paper)
    jane = users.user_of(portal, JANE)
    assert (jane.group, jane.groups) == ("gpu-vision", ("gpu-vision",))
    assert actions(portal, jane.subject)[-3:] == ["group.joined", "group.joined", "group.left"]
    assert status(portal).state == "ok"
    use_case.look(portal, paper)  # and writes nothing more
    assert actions(portal, jane.subject)[-1] == "group.left"


def test_what_an_administrator_says_stays_beside_it(portal: Portal, paper: Paper) -> None:
    users.join(portal, TEST, "robots", JANE.subject)
    use_case.look(portal, paper)
    users.join(portal, TEST, "gpu-vision", JOHN.subject, leads=True)
    use_case.look(portal, paper)
    assert users.user_of(portal, JANE).groups == ("gpu-speech", "gpu-vision", "robots")
    assert users.user_of(portal, JOHN).leads == ("gpu-vision",)
    users.set_group(portal, TEST, JANE.subject, "robots")
    use_case.look(portal, paper)
    assert users.user_of(portal, JANE).group == "robots"
    paper.put(users.user_of(portal, JOHN))
    use_case.look(portal, paper)
    assert users.user_of(portal, JOHN).groups == ()


def test_a_file_says_who_leads(portal: Portal, paper: Paper) -> None:
    paper.tells_who_left = False
    john = users.user_of(portal, JOHN)
    paper.put(john, "gpu-vision", leads=frozenset({"gpu-vision"}))
    use_case.look(portal, paper)
    assert users.user_of(portal, JOHN).leads == ("gpu-vision",)
    paper.put(john, "gpu-vision", leads=frozenset())
    use_case.look(portal, paper)
    assert users.user_of(portal, JOHN).leads == ()
    paper.lists.clear()
    use_case.look(portal, paper)
    assert users.user_of(portal, JOHN).groups == ()  # and may come in


def test_whom_a_file_left_out_the_server_that_comes_after_it_does_not_shut_out(
    portal: Portal, paper: Paper
) -> None:
    paper.tells_who_left = False
    use_case.look(portal, paper)
    paper.tells_who_left, paper.lists = True, {}
    assert use_case.look(portal, paper).problem == ""
    users.user_of(portal, JOHN)


def test_who_left_is_disabled_and_who_is_back_comes_in_again(portal: Portal, paper: Paper) -> None:
    use_case.look(portal, paper)
    john = users.user_of(portal, JOHN)
    listing = paper.lists.pop(john.subject)
    use_case.look(portal, paper)
    with pytest.raises(Forbidden, match="disabled"):
        users.user_of(portal, JOHN)
    with portal.database.reading() as tx:
        assert users.known(tx, john.subject).groups == ()
    paper.lists[john.subject] = listing
    use_case.look(portal, paper)
    assert users.user_of(portal, JOHN).groups == ("gpu-vision",)
    assert actions(portal, john.subject)[-3:] == ["group.left", "user.enabled", "group.joined"]


def test_whom_an_administrator_disabled_the_directory_lets_in_no_more(
    portal: Portal, paper: Paper
) -> None:
    use_case.look(portal, paper)
    with portal.database.transaction() as tx:
        accounts.disable(portal, tx, "edipi:3456789012", users.known(tx, JOHN.subject), "x")
    use_case.look(portal, paper)
    with pytest.raises(Forbidden):
        users.user_of(portal, JOHN)


def test_who_was_never_in_it_or_fits_several_entries_is_left_alone(
    portal: Portal, paper: Paper, john: User
) -> None:
    users.user_of(portal, identity("3456789012", "Alex M Ray"))
    use_case.look(portal, paper)
    paper.lists[john.subject] = None
    done = use_case.look(portal, paper)
    assert (done.missing, done.ambiguous) == (1, 1)
    assert users.user_of(portal, JOHN).groups == ("gpu-vision",)
    users.user_of(portal, identity("3456789012", "Alex M Ray"))
    assert (status(portal).state, "1 people fit several entries" in status(portal).message) == (
        "warning",
        True,
    )


def test_a_directory_that_is_away_changes_nothing_and_health_says_so(
    portal: Portal, paper: Paper, clock: FakeClock
) -> None:
    use_case.look(portal, paper)
    paper.trouble = "Can't contact LDAP server"
    clock.forward(600)
    use_case.look(portal, paper)
    assert users.user_of(portal, JOHN).groups == ("gpu-vision",)
    assert "Can't contact LDAP server. It last answered 10 min ago" in status(portal).message


def test_more_than_is_likely_shuts_nobody_out_unless_somebody_says_so(
    portal: Portal, paper: Paper
) -> None:
    crowd = [users.user_of(portal, identity(f"555000000{number}")) for number in range(8)]
    for each in crowd:
        paper.put(each, "gpu-vision")
    use_case.look(portal, paper)
    kept = dict(paper.lists)
    paper.lists = {}
    done = use_case.look(portal, paper)
    assert "10 of 10 people would be disabled" in done.problem
    assert users.user_of(portal, JOHN).groups == ("gpu-vision",)
    paper.lists = {subject: Listing(frozenset()) for subject in kept}
    assert "11 of 11 memberships" in use_case.look(portal, paper).problem
    paper.lists = {}
    assert use_case.look(portal, paper, all_at_once=True).problem == ""
    with pytest.raises(Forbidden):
        users.user_of(portal, JOHN)


def test_groups_of_other_names_than_groups_have_are_told_and_left_out(
    portal: Portal, paper: Paper, john: User
) -> None:
    paper.put(john, "gpu-vision", "gpu speech")
    assert "not taken over: gpu speech" in use_case.look(portal, paper).problem
    assert users.user_of(portal, JOHN).groups == ("gpu-vision",)


def test_everybody_is_asked_for_now_and_then_and_who_is_new_at_once(
    portal: Portal, paper: Paper
) -> None:
    looks = DirectoryLooks(portal, paper, every_s=900)
    assert looks.is_due()
    looks.look()
    assert not looks.is_due()
    users.user_of(portal, identity("3456789012", "Alex M Ray"))
    assert looks.is_due()
    looks.look()
    assert (looks.is_due(), paper.asked) == (False, 2)
