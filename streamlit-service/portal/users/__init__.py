"""People: who they are, what they may do, their SSH keys and their usage."""

from portal.users.accounts import (
    enable,
    end_sessions,
    merge,
    other_names,
    rename,
    restore,
    sign_out,
    unmerge,
)
from portal.users.entry import account, check_session, last_visit
from portal.users.entry import check as check_account
from portal.users.groups import (
    check_group_name,
    chosen,
    join,
    leave,
    member,
    rename_group,
    set_group,
)
from portal.users.listed import doubtful, left_from_lists, shown
from portal.users.service import (
    add_key,
    cards,
    known,
    others,
    remove_key,
    set_role,
    user_of,
)

__all__ = [
    "account",
    "add_key",
    "cards",
    "check_account",
    "check_group_name",
    "check_session",
    "chosen",
    "doubtful",
    "enable",
    "end_sessions",
    "join",
    "known",
    "last_visit",
    "leave",
    "left_from_lists",
    "member",
    "merge",
    "other_names",
    "others",
    "remove_key",
    "rename",
    "rename_group",
    "restore",
    "set_group",
    "set_role",
    "shown",
    "sign_out",
    "unmerge",
    "user_of",
]
