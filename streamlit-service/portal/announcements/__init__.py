"""What administrators tell people on every page: from when, until when, whom."""

from portal.announcements.service import MAX_LENGTH, add, end, planned, shown_to
from portal.core.announcements import Announcement, Level

__all__ = ["MAX_LENGTH", "Announcement", "Level", "add", "end", "planned", "shown_to"]
