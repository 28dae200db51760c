"""Groups from a CSV file: `subject,group,leads`, a line for each group that somebody is in."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

from portal.core import subjects
from portal.core.directory import DirectoryTrouble, Listing

COLUMNS = ("subject", "group", "leads")
YES, NO = ("yes", "true", "1"), ("", "no", "false", "0")


class CsvFile:
    """A file that administrators, or a script of theirs, keep; read anew at each look."""

    tells_who_left = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def look_up(self, people: Mapping[int, Collection[str]]) -> dict[int, Listing | None]:
        """Everybody is in it: with the groups that it names them with, or with none."""
        groups, leads = self._read()
        return {
            user_id: Listing(
                frozenset(group for name in names for group in groups.get(name, ())),
                frozenset(group for name in names for group in leads.get(name, ())),
            )
            for user_id, names in people.items()
        }

    def _read(self) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Groups by subject, and those that they lead. DirectoryTrouble names the line."""
        groups: dict[str, set[str]] = {}
        leads: dict[str, set[str]] = {}
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                lines = csv.reader(file, strict=True)
                if [cell.strip().casefold() for cell in next(lines, [])] != list(COLUMNS):
                    raise DirectoryTrouble(f"line 1 of {self._path} is not {','.join(COLUMNS)}")
                for cells in lines:
                    if not any(cell.strip() for cell in cells):
                        continue
                    names, group, lead = self._line(lines.line_num, cells)
                    for name in names:
                        groups.setdefault(name, set()).add(group)
                        if lead:
                            leads.setdefault(name, set()).add(group)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DirectoryTrouble(f"{self._path} cannot be read: {error}") from error
        return groups, leads

    def _line(self, number: int, cells: list[str]) -> tuple[frozenset[str], str, bool]:
        where = f"line {number} of {self._path}"
        if not 2 <= len(cells) <= len(COLUMNS):
            raise DirectoryTrouble(f"{where} has {len(cells)} columns, not {len(COLUMNS)}")
        subject, group, lead = (cell.strip() for cell in (*cells, "")[:3])
        names = [entry.subjects for entry in subjects.listed(subject) if not entry.authority]
        if len(names) != 1 or not names[0]:
            raise DirectoryTrouble(f"{where}: {subject[:60]!r} is not a name that a card can carry")
        if lead.casefold() not in YES + NO:
            raise DirectoryTrouble(f"{where}: leads is {lead[:20]!r}, neither yes nor no")
        # As the names of groups are here, and as LDAP's are taken.
        return names[0], group.casefold(), lead.casefold() in YES
