"""Releases: who may decide what, what may start, and for which reason not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from portal import db, deployments, images, users
from portal.context import Portal
from portal.core.errors import Conflict, EngineError, Forbidden, Invalid, NotFound
from portal.core.models import Deployment, Order, ReleaseState, State
from portal.core.people import Role, User
from portal.images import launch_gate
from portal.images.attention import Cause
from portal.images.report import Finding, Kind, Waiver, apply_policy
from portal.jobs.claim import Work
from portal.jobs.start_stop import converge
from portal.scheduling import admission
from support.fakes import FakeClock, FakeEngine
from support.refusals import code_of
from support.samples import CURATOR, JANE, TEST, approved, candidate, report

SECRET = Finding(
    kind=Kind.SECRET, id="private-key", subject="/k", text="/k holds what looks like a secret"
)


def test_a_candidate_is_not_offered_until_somebody_else_approves_it(
    portal: Portal, jane: User, mei: User
) -> None:
    made = images.register(portal, mei, candidate(portal, 1))
    assert made.state is ReleaseState.CANDIDATE
    assert deployments.request(portal, jane, Order("ml-cpu", "a")).release.version == "1.0.0"
    with pytest.raises(Forbidden, match="yourself"):
        images.approve(portal, mei, made.id)
    images.approve(portal, CURATOR, made.id)
    assert deployments.request(portal, jane, Order("ml-cpu", "b")).release.version == "1.1.0"


def test_the_setting_lets_one_person_do_both(portal: Portal, mei: User) -> None:
    alone = replace(
        portal, settings=portal.settings.model_copy(update={"approval_by_another": False})
    )
    made = images.register(alone, mei, candidate(alone, 1))
    assert images.approve(alone, mei, made.id).approved_by == mei.subject


def test_only_curators_decide(portal: Portal, jane: User, mei: User) -> None:
    made = images.register(portal, mei, candidate(portal, 1))
    for act in (
        lambda: images.approve(portal, jane, made.id),
        lambda: images.withdraw(portal, jane, made.id, "reason"),
        lambda: images.who_runs(portal, jane, made.id),
        lambda: images.register(portal, jane, candidate(portal, 2)),
    ):
        assert code_of(act) == "not_curator"


def test_a_deprecated_release_goes_on_but_is_not_offered(
    portal: Portal, jane: User, mei: User, work_off: Callable[[str], Deployment]
) -> None:
    newer = approved(portal, 1)
    made = deployments.request(portal, jane, Order("ml-cpu", "a"))
    assert work_off(made.id).state is State.RUNNING
    images.deprecate(portal, mei, newer.id, "too slow")
    assert deployments.request(portal, jane, Order("ml-cpu", "b")).release.version == "1.0.0"
    deployments.act(portal, jane, made.id, "stop")
    work_off(made.id)
    deployments.act(portal, jane, made.id, "start")
    assert work_off(made.id).state is State.RUNNING


def test_a_withdrawn_release_is_marked_and_starts_no_more(
    portal: Portal, jane: User, mei: User, work_off: Callable[[str], Deployment]
) -> None:
    newer = approved(portal, 1)
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "a")).id)
    images.withdraw(portal, mei, newer.id, "CVE-2026-1")
    now = deployments.get(portal, jane, made.id)
    assert (now.state, now.release.state, now.release.reason) == (
        State.RUNNING,
        ReleaseState.WITHDRAWN,
        "CVE-2026-1",
    )
    assert [deployment.id for deployment in images.who_runs(portal, mei, newer.id)] == [made.id]
    assert code_of(lambda: deployments.act(portal, jane, made.id, "restart")) == "release_withdrawn"
    deployments.act(portal, jane, made.id, "stop")
    work_off(made.id)
    assert code_of(lambda: deployments.act(portal, jane, made.id, "start")) == "release_withdrawn"
    assert code_of(lambda: images.approve(portal, mei, newer.id)) == "not_now"


def test_what_is_withdrawn_between_order_and_start_does_not_start(
    portal: Portal, jane: User, mei: User, engine: FakeEngine, work_off: Callable[[str], Deployment]
) -> None:
    newer = approved(portal, 1)
    made = deployments.request(portal, jane, Order("ml-cpu", "a"))
    images.withdraw(portal, mei, newer.id, "CVE-2026-1")
    done = work_off(made.id)
    assert done.state is State.FAILED
    assert done.failure is not None and done.failure.code == "release_withdrawn"
    assert engine.pulled == []


def test_who_waits_for_a_release_that_is_withdrawn_is_told_and_holds_no_place(
    portal: Portal, jane: User, john: User, mei: User
) -> None:
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, memory_gb=4)
    deployments.request(portal, john, Order("ml-cpu", "first", memory_gb=4))
    waits = deployments.request(portal, jane, Order("ml-cpu", "second", memory_gb=4))
    assert waits.state is State.WAITING
    images.withdraw(portal, mei, 1, "CVE-2026-1")
    with portal.database.transaction() as tx:
        assert admission.blocked(portal, tx)
        admission.advance(portal, tx)
        assert not admission.blocked(portal, tx)
    waiting = deployments.get(portal, jane, waits.id)
    assert waiting.failure is not None
    assert (waiting.state, waiting.failure.code) == (State.FAILED, "release_withdrawn")


def test_a_decision_needs_a_reason(portal: Portal, mei: User) -> None:
    with pytest.raises(Invalid, match="reason of 5 to 500"):
        images.withdraw(portal, mei, 1, " no ")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": ReleaseState.CANDIDATE}, "release_not_approved"),
        ({"state": ReleaseState.WITHDRAWN}, "release_withdrawn"),
        ({"scanned_at": None}, "never_scanned"),
        ({"refused_for": "secret", "problem": "a secret"}, "refused_secret"),
        ({"refused_for": "root_user", "problem": "it runs as root"}, "refused_root_user"),
        ({"standin": True}, "refused_standin_base"),
    ],
)
def test_the_launch_check_refuses_for_each_reason(
    portal: Portal, changes: dict[str, Any], code: str
) -> None:
    with portal.database.reading() as tx:
        release = db.releases.approved(tx)["ml-cpu"]
    launch_gate.check(portal.settings, release, portal.now())
    assert (
        code_of(
            lambda: launch_gate.check(portal.settings, replace(release, **changes), portal.now())
        )
        == code
    )


def test_a_stale_scan_stops_new_starts_until_it_is_scanned_again(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    clock.forward(31 * 86_400)
    with pytest.raises(Conflict, match="last scanned 31 days ago; 30 are allowed"):
        deployments.request(portal, jane, Order("ml-cpu", "a"))
    images.scanned(portal, TEST, 1, {"numpy": "2"}, report(portal.now()))
    assert deployments.request(portal, jane, Order("ml-cpu", "a")).state is State.PENDING


def test_what_a_new_scan_finds_stops_new_starts(portal: Portal, jane: User) -> None:
    images.scanned(portal, TEST, 1, {"numpy": "2"}, report(portal.now(), SECRET))
    with pytest.raises(
        Conflict, match="does not pass the policy: /k holds what looks like a secret"
    ):
        deployments.request(portal, jane, Order("ml-cpu", "a"))


def test_a_waiver_that_expired_counts_at_once(portal: Portal, jane: User, clock: FakeClock) -> None:
    waiver = Waiver(
        image="ml-cpu",
        finding="private-key",
        owner="mei",
        reason="A test key only.",
        expires=date(2026, 1, 6),
    )
    waived = apply_policy(report(portal.now(), SECRET), (waiver,), allow_standins=False)
    images.scanned(portal, TEST, 1, {}, waived)
    deployments.request(portal, jane, Order("ml-cpu", "a"))
    clock.forward(2 * 86_400)
    assert (
        code_of(lambda: deployments.request(portal, jane, Order("ml-cpu", "b"))) == "waiver_expired"
    )


def test_the_command_line_approves_only_where_one_person_may_do_both(portal: Portal) -> None:
    made = images.register(portal, TEST, candidate(portal, 1))
    assert code_of(lambda: images.approve(portal, TEST, made.id)) == "needs_a_person"


def test_mei_finds_who_has_the_flawed_package(portal: Portal, jane: User, mei: User) -> None:
    approved(portal, 1, packages={"numpy": "2.5.0"})
    deployments.request(portal, jane, Order("ml-cpu", "a"))
    hits = images.search(portal, mei, "NumPy 2.5")
    assert [(hit.release.version, hit.what, hit.people) for hit in hits] == [
        ("1.1.0", "numpy 2.5.0", ("Jane Q Doe",))
    ]
    assert [hit.release.version for hit in images.search(portal, mei, "openssl")] == ["1.0.0"]
    images.scanned(portal, TEST, 1, {}, report(portal.now(), SECRET))
    assert [hit.release.version for hit in images.search(portal, mei, "private-key")] == ["1.0.0"]
    assert images.search(portal, mei, " ") == []
    assert code_of(lambda: images.search(portal, jane, "x")) == "not_curator"


def test_curators_are_warned_before_a_scan_is_too_old(
    portal: Portal, mei: User, clock: FakeClock
) -> None:
    assert images.attention(portal, mei) == []
    clock.forward(25 * 86_400)
    (found,) = images.attention(portal, mei)
    assert (found.cause, found.ends) == (Cause.SCAN_ENDS, portal.now() + timedelta(days=5))


def test_curators_see_first_what_does_not_start_and_last_what_waits_for_them(
    portal: Portal, jane: User, mei: User, clock: FakeClock
) -> None:
    deployments.request(portal, jane, Order("ml-cpu", "a"))
    approved(portal, 1)
    images.withdraw(portal, mei, 1, "CVE-2026-0001")
    images.register(portal, TEST, candidate(portal, 2))
    found = images.attention(portal, mei)
    assert [(each.cause, each.release.version, each.containers) for each in found] == [
        (Cause.STILL_USED, "1.0.0", 1),
        (Cause.UNDECIDED, "1.2.0", 0),
    ]
    clock.forward(31 * 86_400)
    first = images.attention(portal, mei)[0]
    assert (first.cause, first.refusal and first.refusal.code) == (Cause.BLOCKED, "scan_stale")
    assert code_of(lambda: images.attention(portal, jane)) == "not_curator"


def test_curators_need_not_look_at_what_nobody_runs_any_more(
    portal: Portal,
    jane: User,
    mei: User,
    clock: FakeClock,
    work_off: Callable[..., Deployment],
) -> None:
    old = work_off(deployments.request(portal, jane, Order("ml-cpu", "a")).id)
    approved(portal, 1)  # 1.0.0 stays approved beside it
    clock.forward(31 * 86_400)
    assert {each.release.version for each in images.attention(portal, mei)} == {"1.0.0", "1.1.0"}
    images.withdraw(portal, mei, 1, "CVE-2026-0001")
    assert images.attention(portal, mei)[-1].cause is Cause.STILL_USED
    deployments.act(portal, jane, old.id, "stop")
    work_off(old.id)
    assert [each.release.version for each in images.attention(portal, mei)] == ["1.1.0"]


def test_a_version_names_one_digest_for_ever(portal: Portal) -> None:
    other = candidate(portal, 1, version="1.0.0")
    assert code_of(lambda: images.register(portal, TEST, other)) == "version_taken"


def test_the_same_digest_again_gets_the_new_report_and_keeps_its_state(
    portal: Portal, clock: FakeClock
) -> None:
    clock.forward(3600)
    made = images.register(portal, TEST, candidate(portal))
    assert (made.state, made.scanned_at) == (ReleaseState.APPROVED, portal.now())


def test_a_report_that_does_not_pass_registers_nothing(portal: Portal) -> None:
    bad = candidate(portal, 1, report=report(portal.now(), SECRET))
    assert code_of(lambda: images.register(portal, TEST, bad)) == "refused"
    assert (
        code_of(
            lambda: images.register(portal, TEST, candidate(portal, 2, reference="r/ml-cpu:latest"))
        )
        == "no_digest"
    )
    assert (
        code_of(lambda: images.register(portal, TEST, candidate(portal, 3, image="nothing")))
        == "unknown_image"
    )
    with pytest.raises(NotFound, match="no release"):
        images.find(portal, "ml-cpu", "1.1.0")


def test_every_decision_is_audited(portal: Portal, mei: User) -> None:
    newer = approved(portal, 1)
    images.deprecate(portal, mei, newer.id, "too slow")
    images.withdraw(portal, mei, newer.id, "CVE-2026-1")
    with portal.database.reading() as tx:
        actions = [event.action for event in db.audit.events(tx, "image:ml-cpu")]
        assert db.audit.verify(tx).broken_at is None
    assert actions[2:] == [
        "release.candidate",
        "release.approved",
        "release.deprecated",
        "release.withdrawn",
    ]


def test_an_unverified_signature_fails_the_deployment_and_leaves_nothing(
    portal: Portal, jane: User, engine: FakeEngine
) -> None:
    def refuse(_: object) -> None:
        raise EngineError("unsigned", "It is not signed.", "Tell somebody.")

    made = deployments.request(portal, jane, Order("ml-cpu", "a"))
    work = Work.claim(portal, made.id)
    assert work
    converge(work, engine, lambda vm, port: True, refuse)
    failed = deployments.get(portal, jane, made.id)
    assert failed.failure is not None and failed.failure.code == "unsigned"
    assert (engine.pulled, engine.boxes) == ([], {})


def test_others_than_curators_see_what_runs_and_what_is_in_it(
    portal: Portal, jane: User, mei: User
) -> None:
    made = images.register(portal, TEST, candidate(portal, 1))
    assert [release.version for release in images.all_releases(portal, jane)] == ["1.0.0"]
    assert [release.version for release in images.all_releases(portal, mei)] == ["1.1.0", "1.0.0"]
    with pytest.raises(NotFound):
        images.contents(portal, jane, made.id)
    contents = images.contents(portal, jane, 1)
    assert contents is not None and contents.packages["numpy"] == "2.4.6"


def test_what_changed_between_two_releases() -> None:
    before, after = {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}
    assert [(c.name, c.before, c.after) for c in images.changes(before, after)] == [
        ("b", "1", "2"),
        ("c", "1", ""),
        ("d", "", "1"),
    ]


def test_roles_can_be_changed(portal: Portal, jane: User) -> None:
    users.set_role(portal, TEST, jane.subject, Role.CURATOR)
    assert users.user_of(portal, JANE).role is Role.CURATOR
    with pytest.raises(NotFound):
        users.set_role(portal, TEST, "edipi:0", Role.ADMIN)
