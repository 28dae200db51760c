"""People: who they are, what they may do, their SSH keys and their usage."""

from portal.users.service import (
    add_key,
    check_group_name,
    known,
    remove_key,
    roles_from_lists,
    set_group,
    set_role,
    shown,
    user_of,
)

__all__ = [
    "add_key",
    "check_group_name",
    "known",
    "remove_key",
    "roles_from_lists",
    "set_group",
    "set_role",
    "shown",
    "user_of",
]
