"""People: who they are, what they may do, their SSH keys and their usage."""

from portal.users.accounts import merge, other_names, rename, rename_group, restore, unmerge
from portal.users.listed import doubtful, left_from_lists, shown
from portal.users.service import (
    add_key,
    cards,
    check_group_name,
    check_realm,
    known,
    others,
    remove_key,
    retired,
    set_group,
    set_role,
    user_of,
)

__all__ = [
    "add_key",
    "cards",
    "check_group_name",
    "check_realm",
    "doubtful",
    "known",
    "left_from_lists",
    "merge",
    "other_names",
    "others",
    "remove_key",
    "rename",
    "rename_group",
    "restore",
    "retired",
    "set_group",
    "set_role",
    "shown",
    "unmerge",
    "user_of",
]
