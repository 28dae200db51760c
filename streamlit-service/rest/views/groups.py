"""What REST v1 shows and takes of groups."""

from __future__ import annotations

from portal.scheduling.groups import Member
from portal.scheduling.quotas import Allowance
from pydantic import Field

from rest.views.base import Body
from rest.views.users import AllowanceView


class MemberBody(Body):
    """How somebody is in a group."""

    leads: bool = Field(False, description="sees and stops its containers, shares out its quota")


class GroupView(AllowanceView):
    """A group, with what its members share and hold together."""

    group: str

    @classmethod
    def of(cls, allowance: Allowance) -> GroupView:
        shared = AllowanceView.of(allowance)
        return cls(group=allowance.whose, limits=shared.limits, held=shared.held)


class MemberView(AllowanceView):
    """A member of a group, with what they may hold and hold of its quota."""

    subject: str
    name: str
    leads: bool
    share: bool = Field(description="whether a lead gave them limits of their own")

    @classmethod
    def of(cls, member: Member) -> MemberView:  # type: ignore[override]
        of_group = AllowanceView.of(member.allowance)
        return cls(
            subject=member.user.subject,
            name=member.user.display_name,
            leads=member.leads,
            share=member.share is not None,
            limits=of_group.limits,
            held=of_group.held,
        )
