"""Groups: what each may use, what its members hold of it; who is in it, for administrators."""

from __future__ import annotations

from functools import partial

import streamlit as st
import wording
from portal import deployments, users
from portal.core.people import Role
from portal.scheduling import groups, quotas
from portal.scheduling.groups import Member

from app_pages.parts import amounts, frame, others, session, tables


def page() -> None:
    st.subheader("Groups")
    portal, me = session.portal(), session.user()
    led = groups.led(portal, me)
    if led:
        tables.choose_from(
            [{"Group": each.whose, **amounts.cells(each)} for each in led],
            [{"group-shown": each.whose} for each in led],
            key="groups",
            bars=amounts.BARS,
        )
    else:
        way = " Name the first one below." if me.role is Role.ADMIN else ""
        st.info(
            "**There are no groups yet.** Members of a group share its quota and use the VMs in"
            f" its pool.{way}",
            icon=":material/groups:",
        )
    if led:
        _one([each.whose for each in led])
    if me.role is Role.ADMIN:
        _people([each.whose for each in led])


def _one(names: list[str]) -> None:
    """One group: its members, what each may hold, its containers."""
    portal, me = session.portal(), session.user()
    group = str(st.selectbox("Show group", names, key="group-shown"))
    people = groups.members(portal, me, group)
    tables.choose_from(
        [
            {
                "Member": each.user.display_name,
                "Leads": "yes" if each.leads else "",
                "Limits": "Own" if each.share else "The group's",
                **amounts.cells(each.allowance),
            }
            for each in people
        ],
        [{"member": each.user.subject} for each in people],
        key="members",
        bars=amounts.BARS,
    )
    if me.role is Role.ADMIN:
        rows = quotas.all_quotas(portal, me)
        with st.container(border=True):
            st.markdown(f"**Quota of {group}**")
            who = (quotas.GROUP, group)
            amounts.quota_form(who, rows.get(who), lambda _: "no limit", "group-quota")
    acts = me.role is not Role.AUDITOR
    if people and acts:
        _share(group, people)
    containers = deployments.of_group(portal, me, group)
    st.markdown(f"**Containers that count for {group}**")
    if not containers:
        st.caption("None now.")
        return
    stop = partial(deployments.stop_in_group, portal, me, group)
    example = "Others of the group need its GPUs until Friday"
    help_with = partial(deployments.act_in_group, portal, me, group)
    ways = [others.stopping(stop, example), *others.helping(help_with)]
    chosen = others.show(containers, f"of-{group}", ways if acts else [])
    others.history(chosen, partial(deployments.events_in_group, portal, me, group))


def _share(group: str, people: list[Member]) -> None:
    """What one member may hold of the group's quota."""
    by_subject = {each.user.subject: each for each in people}
    with st.container(border=True):
        st.markdown("**Share out the quota**")
        subject = st.selectbox(
            "Member",
            list(by_subject),
            format_func=lambda key: by_subject[key].user.display_name,
            key="member",
        )
        member = by_subject[subject]
        amounts.quota_form(
            (quotas.MEMBER, quotas.member_key(group, subject)),
            member.share,
            lambda _: "the group's",
            "share",
        )
        if session.user().role is Role.ADMIN:
            with st.container(horizontal=True):
                _membership(group, member)


def _membership(group: str, member: Member) -> None:
    """Who leads, and who is in it at all."""
    portal, me, subject = session.portal(), session.user(), member.user.subject
    label = "No longer lead" if member.leads else "Make lead"
    if st.button(label, icon=":material/star:", key="lead"):
        frame.carry_out(lambda: users.join(portal, me, group, subject, leads=not member.leads))
    if st.button("Remove from group …", icon=":material/group_remove:", key="leave"):
        _leave(group, member)


def _leave(group: str, member: Member) -> None:
    name = wording.literal(member.user.display_name)

    def body() -> None:
        st.markdown(
            f"What {name} runs for {group} goes on, and counts for it until it is started again."
        )
        if frame.confirmed("Remove", "confirm-leave", loses=True):
            frame.carry_out(
                lambda: users.leave(session.portal(), session.user(), group, member.user.subject)
            )

    frame.ask(f"Remove {name} from {group}?", body)


def _people(names: list[str]) -> None:
    """Add people to a group, old or new; give one another name."""
    portal, me = session.portal(), session.user()
    left, right = st.columns(2, gap="large")
    with left, st.form("join", border=True):
        st.markdown("**Add people to a group**")
        known = {user.subject: user.display_name for user, _ in quotas.everybody(portal, me)}
        subjects = st.multiselect(
            "Users", list(known), format_func=known.__getitem__, key="join-users"
        )
        group = st.text_input("Group, old or new", key="join-group", max_chars=60)
        if st.form_submit_button("Add"):
            if subjects:
                frame.carry_out(lambda: _join(subjects, group))
            else:
                st.warning("Choose at least one user first.", icon=":material/info:")
    if names:
        with right, st.container(border=True):
            st.markdown("**Rename a group**")
            old = str(st.selectbox("Group", names, key="old-group"))
            new = st.text_input("New name", key="new-group", max_chars=60)
            st.caption("Its quota and the VM pool of the same name are renamed with it.")
            if st.button("Rename", key="rename-group", disabled=not new):
                frame.carry_out(lambda: users.rename_group(portal, me, old, new))


def _join(subjects: list[str], group: str) -> None:
    for subject in subjects:
        users.join(session.portal(), session.user(), group, subject)


page()
