from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import wording
from portal.core.models import LayerProgress, State, StopReason

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "just now"),
        (3, "just now"),
        (42, "42 s ago"),
        (60, "1 min ago"),
        (725, "12 min ago"),
        (7200, "2 h ago"),
        (86_400, "1 day ago"),
        (200_000, "2 days ago"),
    ],
)
def test_times_are_relative(seconds: int, said: str) -> None:
    assert wording.ago(NOW - timedelta(seconds=seconds), NOW) == said


def test_every_state_and_stop_reason_has_words() -> None:
    assert set(wording.STATE_WORDS) == set(State)
    assert set(wording.STOP_WORDS) == set(StopReason)


def test_a_download_is_told_in_bytes() -> None:
    layers = (
        LayerProgress("a", 250_000_000, 1_000_000_000, ""),
        LayerProgress("b", 0, 500_000_000, ""),
    )
    share, output = wording.download(layers, 1)
    assert share == pytest.approx(1 / 6)
    assert output == "250 MB of 1.5 GB"
    assert wording.download((), 60)[1].startswith("Asking the registry")


def test_a_download_that_has_gone_on_for_a_while_says_how_long_it_still_takes() -> None:
    layers = (LayerProgress("a", 250_000_000, 1_000_000_000, ""),)
    assert wording.download(layers, 10)[1] == "250 MB of 1.0 GB · about 30 s left"
    assert wording.download(layers, 100)[1] == "250 MB of 1.0 GB · about 5 min left"
    assert wording.download((LayerProgress("a", 900, 1000, ""),), 3)[1].endswith(
        "a few seconds left"
    )


def test_a_layer_that_the_vm_has_already_is_done() -> None:
    assert wording.layer(LayerProgress("a", 0, 0, "Already exists")) == (1.0, "a · Already exists")
    assert wording.layer(LayerProgress("b", 0, 0, "")) == (0.0, "b · waiting")
    assert wording.layer(LayerProgress("c", 5_000_000, 10_000_000, "Downloading"))[1].endswith(
        "5 MB of 10 MB"
    )


@pytest.mark.parametrize(
    "name", [None, "", "Etc/Unknown", "America", "../etc/passwd", "/etc/localtime", "Ä", "a\0b"]
)
def test_a_browser_without_a_time_zone_gets_utc_and_sees_it(name: str | None) -> None:
    then = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert wording.absolute(then, wording.zone(name)).endswith("12:00:00 UTC")
    assert wording.absolute(then, wording.zone("Europe/Berlin")).endswith("13:00:00 CET")
