"""Every line of a service's log is JSON, whoever prints it."""

from __future__ import annotations

import io
import json
import threading
import traceback

from json_lines import JsonLines


def written(*texts: str) -> list[dict[str, str]]:
    below = io.StringIO()
    stream = JsonLines(below, "error")
    for text in texts:
        stream.write(text)
    return [json.loads(line) for line in below.getvalue().splitlines()]


def test_what_is_json_passes_as_it_is() -> None:
    assert written('{"event": "ready"}\n', '{"event":', ' "halves"}\n') == [
        {"event": "ready"},
        {"event": "halves"},
    ]


def test_a_banner_and_a_traceback_are_wrapped() -> None:
    try:
        json.loads('{"a": "quoted \\" and torn')
    except ValueError:
        text = traceback.format_exc()
    banner, trace = written("\n", "  You can now view your app.\n", text)
    assert (banner["event"], banner["message"]) == ("output", "You can now view your app.")
    assert trace["message"] == text.strip()
    assert {"level", "timestamp"} <= trace.keys()


def test_lines_of_two_threads_stay_apart() -> None:
    """print() writes a line and its end in two steps."""
    below = io.StringIO()
    stream = JsonLines(below, "error")
    stream.write('{"event": "first"}')
    other = threading.Thread(target=lambda: stream.write('{"event": "second"}\n'))
    other.start()
    other.join()
    stream.write("\n")
    assert [json.loads(line)["event"] for line in below.getvalue().splitlines()] == [
        "second",
        "first",
    ]


def test_a_line_waits_for_its_end() -> None:
    assert written("half ") == []
    assert [line["message"] for line in written("half ", "a line\n")] == ["half a line"]
