"""A CSV file says who is in which group; what cannot be read changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from directory.csv_file import CsvFile
from portal.core.directory import DirectorySettings, DirectoryTrouble, Listing

PEOPLE = {1: {"edipi:1234567890", "upn:jane@example.org"}, 2: {"edipi:2345678901"}, 3: {"upn:x@y"}}


def of(folder: Path, text: str, encoding: str = "utf-8") -> CsvFile:
    file = folder / "groups.csv"
    file.write_text(text, encoding=encoding)
    return CsvFile(file)


def test_somebody_is_in_the_groups_of_all_their_names(tmp_path: Path) -> None:
    file = of(
        tmp_path,
        "subject,group,leads\n1234567890,vision,yes\nupn:jane@example.org, speech \n\n"
        "edipi:2345678901,vision,no\n",
    )
    assert file.look_up(PEOPLE) == {
        1: Listing(frozenset({"vision", "speech"}), frozenset({"vision"})),
        2: Listing(frozenset({"vision"}), frozenset()),
        3: Listing(frozenset(), frozenset()),
    }


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    file = of(tmp_path, 'Subject,Group,Leads\r\n"1234567890","vision","TRUE"\r\n', "utf-8-sig")
    listing = file.look_up(PEOPLE)[1]
    assert listing == Listing(frozenset({"vision"}), frozenset({"vision"}))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1"),
        ("group,subject,leads\n", "line 1"),
        ("subject,group,leads\n1234567890\n", "line 2 .* has 1 columns"),
        ("subject,group,leads\n1234567890,vision,no,more\n", "line 2 .* has 4 columns"),
        ("subject,group,leads\n1234567890,vision\njane,vision\n", "line 3"),
        ("subject,group,leads\n1234567890,vision,perhaps\n", "neither yes nor no"),
        ('subject,group,leads\n"1234567890,vision\n', "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_refused_whole_by_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DirectoryTrouble, match=why):
        of(tmp_path, text).look_up(PEOPLE)


def test_a_file_that_is_not_there_or_no_text_is_trouble(tmp_path: Path) -> None:
    with pytest.raises(DirectoryTrouble, match="cannot be read"):
        CsvFile(tmp_path / "none.csv").look_up(PEOPLE)
    with pytest.raises(DirectoryTrouble, match="cannot be read"):
        of(tmp_path, "subject,group,leads\n1234567890,é,no\n", "latin-1").look_up(PEOPLE)


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://dc1"},
        {"url": "file:groups.csv"},
        {"url": "ldaps://dc1", "base": "dc=x"},
        {"url": "ldaps://dc1", "group_base": "dc=x"},
        {"names": "uid=uid"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused_at_start(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"directory|DIRECTORY|names"):
        DirectorySettings.model_validate(given)
