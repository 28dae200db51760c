"""People: who they are, what they may do, their SSH keys and their usage."""

from portal.users.accounts import merge, rename, rename_group, restore
from portal.users.service import (
    add_key,
    cards,
    check_group_name,
    check_realm,
    known,
    remove_key,
    retired,
    roles_from_lists,
    set_group,
    set_role,
    shown,
    user_of,
)

__all__ = [
    "add_key",
    "cards",
    "check_group_name",
    "check_realm",
    "known",
    "merge",
    "remove_key",
    "rename",
    "rename_group",
    "restore",
    "retired",
    "roles_from_lists",
    "set_group",
    "set_role",
    "shown",
    "user_of",
]
