"""Every line of a service's log is JSON, whoever prints it."""

from __future__ import annotations

import io
import json
import subprocess
import threading
import traceback

import pytest
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


@pytest.mark.parametrize(
    "text",
    [
        "{not json}",
        "{",
        "{'a': 1}",
        '{"a": 1} and more',
        "{}}",
        '{"a": NaN}',
        '{"a": -Infinity}',
        "{" * 9999,
    ],
)
def test_what_only_begins_like_json_is_wrapped(text: str) -> None:
    assert [line["message"] for line in written(f"{text}\n")] == [text]


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


@pytest.mark.parametrize(
    "line",
    [
        b"plain",
        b'with "quotes" and \\ and \ttab',
        "Zoë".encode(),
        b"no text: \xff",
        b"half a surrogate: \xed\xa0\x80",
        b"beyond Unicode: \xf4\x90\x80\x80 \xf8\x88\x80\x80\x80",
        b"{not json}",
        b"",
        b"x" * 5000,
        "é".encode() * 3000,
    ],
)
def test_what_the_gateway_and_the_registry_say_is_json_whatever_it_is(line: bytes) -> None:
    said = subprocess.run(
        ["perl", "-w", "deployment/as_json.pl", "nginx", "error"],
        input=line + b"\n",
        capture_output=True,
        check=True,
    )
    assert said.stderr == b""
    [logged] = [json.loads(each) for each in said.stdout.decode().splitlines()]
    assert logged["message"][:4] == line.decode(errors="replace")[:4]
    assert (logged["event"], logged["level"]) == ("nginx", "error")


def test_nginxs_level_is_kept_and_what_is_json_passes() -> None:
    lines = b'2026/01/01 10:00:00 [warn] 7#7: odd\nnginx: [emerg] no\n{"event":"request"}\n'
    said = subprocess.run(
        ["perl", "-w", "deployment/as_json.pl", "nginx", "error"],
        input=lines,
        capture_output=True,
        check=True,
    )
    warned, refused, passed = (json.loads(line) for line in said.stdout.splitlines())
    assert (warned["level"], warned["message"]) == ("warn", "7#7: odd")
    assert (refused["level"], refused["message"]) == ("emerg", "no")
    assert passed == {"event": "request"}
