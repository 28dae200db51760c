"""What the directory says is carried over; a directory in trouble changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from portal import deployments, users
from portal.context import Portal
from portal.core.directory import DirectoryTrouble, Listing
from portal.core.errors import Conflict, Forbidden
from portal.core.health import Status
from portal.core.models import Deployment, Order, State, StopReason
from portal.core.people import Identity, Role, User
from portal.jobs.directory import DirectoryLooks
from portal.monitoring import health
from portal.users import accounts
from portal.users import directory as use_case
from support.fakes import FakeClock
from support.samples import JANE, JOHN, OTHER, TEST, actions, identity


@dataclass
class Paper:
    """Stands in for an LDAP server; the real one is in tests/system/test_directory.py."""

    tells_who_left: bool = True
    lists: dict[str, Listing | None] = field(default_factory=dict)
    trouble: Exception | None = None
    asked: list[int] = field(default_factory=list)
    """About how many people each time."""

    def look_up(self, people: Mapping[int, Collection[str]]) -> dict[int, Listing | None]:
        self.asked.append(len(people))
        if self.trouble:
            raise self.trouble
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


def status(portal: Portal) -> Status:
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
    paper.trouble = DirectoryTrouble("Can't contact LDAP server")
    clock.forward(600)
    use_case.look(portal, paper)
    assert users.user_of(portal, JOHN).groups == ("gpu-vision",)
    assert "Can't contact LDAP server. It last answered 10 min ago" in status(portal).message
    paper.trouble = IndexError("list index out of range")  # whatever it answered
    assert "not understood" in use_case.look(portal, paper).problem
    assert status(portal).state == "warning"
    clock.forward(2 * 24 * 3600)
    assert "last asked 48 h ago" in status(portal).message


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
    assert (looks.is_due(), paper.asked) == (False, [2, 1])  # about them alone
    users.user_of(portal, identity("4567890123", "New One"))
    paper.trouble = DirectoryTrouble("Can't contact LDAP server")
    looks.look()
    assert (looks.is_due(), paper.asked) == (False, [2, 1, 1])  # again in a minute


UPN = "jane@corp.example"


def groups_of(portal: Portal, subject: str) -> tuple[str, ...]:
    with portal.database.reading() as tx:
        return users.known(tx, subject).groups


def carrying(number: str, upn: str, **other: Any) -> Identity:
    return replace(identity(number, f"Person {number}"), upn=upn, **other)


def test_a_name_that_two_peoples_cards_carry_says_nothing_of_either(
    portal: Portal, paper: Paper, clock: FakeClock
) -> None:
    first = users.user_of(portal, carrying("3333333333", UPN, fingerprint="3" * 64))
    paper.lists[f"upn:{UPN}"] = Listing(frozenset({"gpu-secret"}))
    use_case.look(portal, paper)
    assert groups_of(portal, first.subject) == ("gpu-secret",)
    other = users.user_of(portal, carrying("4444444444", UPN, fingerprint="4" * 64))
    assert use_case.look(portal, paper).ambiguous == 2
    assert groups_of(portal, first.subject) == ("gpu-secret",)
    assert groups_of(portal, other.subject) == ()


def test_an_accounts_own_name_is_not_that_of_whose_card_carries_it(
    portal: Portal, paper: Paper
) -> None:
    owner = users.user_of(portal, replace(identity(), subject=f"upn:{UPN}", fingerprint="3" * 64))
    other = users.user_of(portal, carrying("4444444444", UPN, fingerprint="4" * 64))
    paper.lists[f"upn:{UPN}"] = Listing(frozenset({"gpu-secret"}))
    assert use_case.look(portal, paper).ambiguous == 0
    assert groups_of(portal, owner.subject) == ("gpu-secret",)
    assert groups_of(portal, other.subject) == ()


def test_a_directory_is_of_the_first_realm(portal: Portal, paper: Paper) -> None:
    settings = portal.settings.model_copy(update={"realms": "One Root CA;Other Root CA"})
    here = replace(portal, settings=settings)
    other = users.user_of(
        here, carrying("4444444444", UPN, roots=frozenset({OTHER}), fingerprint="4" * 64)
    )
    paper.lists[f"upn:{UPN}"] = Listing(frozenset({"gpu-secret"}))
    paper.lists[other.subject] = Listing(frozenset({"gpu-secret"}))
    use_case.look(here, paper)
    assert groups_of(here, other.subject) == ()


def test_nobody_comes_back_by_a_file_that_cannot_tell_who_left(
    portal: Portal, paper: Paper
) -> None:
    use_case.look(portal, paper)
    left = paper.lists.pop(JOHN.subject)
    use_case.look(portal, paper)
    paper.tells_who_left, paper.lists[JOHN.subject] = False, left
    use_case.look(portal, paper)
    with pytest.raises(Forbidden, match="disabled"):
        users.user_of(portal, JOHN)


def test_whom_the_directory_disabled_an_administrator_can_keep_out_for_good(
    portal: Portal, paper: Paper
) -> None:
    use_case.look(portal, paper)
    back = paper.lists.pop(JOHN.subject)
    use_case.look(portal, paper)
    deployments.disable(portal, TEST, JOHN.subject, "A letter came.")
    paper.lists[JOHN.subject] = back
    use_case.look(portal, paper)
    with pytest.raises(Forbidden, match="disabled"):
        users.user_of(portal, JOHN)


def test_neither_everybody_nor_the_last_administrator_leaves_at_once(
    portal: Portal, paper: Paper
) -> None:
    users.set_role(portal, TEST, JANE.subject, Role.ADMIN)
    use_case.look(portal, paper)
    paper.lists = {}
    assert "2 of 2 people would be disabled" in use_case.look(portal, paper).problem
    paper.put(users.user_of(portal, JOHN), "gpu-vision")
    assert "last administrator" in use_case.look(portal, paper).problem
    users.user_of(portal, JANE)


def test_what_runs_of_who_left_stops_where_that_is_set(
    portal: Portal, paper: Paper, john: User, work_off: Callable[[str], Deployment]
) -> None:
    runs = work_off(deployments.request(portal, john, Order("ml-cpu", "runs", memory_gb=1)).id)
    use_case.look(portal, paper)
    del paper.lists[JOHN.subject]
    DirectoryLooks(portal, paper, every_s=900).look()
    assert latest(portal, runs).state is State.RUNNING
    DirectoryLooks(portal, paper, every_s=900, stops=True).look()
    stopping = latest(portal, runs)
    assert (stopping.state, stopping.stop_reason) == (State.STOPPING, StopReason.ADMIN)
    assert "directory" in str(stopping.stop_note)


def latest(portal: Portal, deployment: Deployment) -> Deployment:
    found = deployments.latest(portal, deployment)
    assert found
    return found


def test_who_is_in_a_group_by_the_directory_leaves_it_there(portal: Portal, paper: Paper) -> None:
    use_case.look(portal, paper)
    with pytest.raises(Conflict, match="by the directory"):
        users.leave(portal, TEST, "gpu-vision", JANE.subject)
