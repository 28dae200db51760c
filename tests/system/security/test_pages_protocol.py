"""Streamlit's own messages: nobody takes up another's session, or ends what all share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness.people import Person
from stack import Stack
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

WAIT_S = 60
FOR_DEVELOPERS = (
    "clear_cache",
    "set_run_on_save",
    "stop_script",
    "debug_disconnect_websocket",
    "debug_shutdown_runtime",
)


@contextmanager
def page(stack: Stack, who: str, *session: str) -> Iterator[ClientConnection]:
    """Somebody's connection of a page, perhaps to a session that goes on."""
    address = f"wss://{stack.host}:{stack.port}/_stcore/stream"
    origin = Origin(f"https://{stack.host}:{stack.port}")
    protocols = [Subprotocol(each) for each in ("streamlit", "no-token", *session)]
    with connect(
        address,
        ssl=stack.tls(who),
        origin=origin,
        subprotocols=protocols,
        proxy=None,
        max_size=None,
        close_timeout=1,
        legacy=True,
        open_timeout=WAIT_S,
    ) as opened:
        opened.send(BackMsg(rerun_script=ClientState()).SerializeToString())
        yield opened


def session_of(opened: ClientConnection) -> str:
    """What the server calls it."""
    while True:
        message = opened.recv(timeout=WAIT_S)
        assert isinstance(message, bytes)
        said = ForwardMsg.FromString(message)
        if said.HasField("new_session"):
            return str(said.new_session.initialize.session_id)


def answers(opened: ClientConnection) -> bool:
    """Whether it runs again when asked."""
    opened.send(BackMsg(rerun_script=ClientState()).SerializeToString())
    return bool(session_of(opened))


def test_somebody_elses_session_is_not_taken_up(stack: Stack, jane: Person, john: Person) -> None:
    with page(stack, "jane") as hers:
        known = session_of(hers)
        with page(stack, "john", known) as his:
            assert session_of(his) != known
            assert answers(hers)
    with page(stack, "john", known) as his:  # nor once she is gone
        assert session_of(his) != known


@pytest.mark.parametrize("message", FOR_DEVELOPERS)
def test_what_is_for_developers_ends_nobodys_page(
    stack: Stack, jane: Person, john: Person, message: str
) -> None:
    with page(stack, "jane") as hers:
        session_of(hers)
        with page(stack, "john") as his:
            session_of(his)
            asked = BackMsg()
            setattr(asked, message, True)
            his.send(asked.SerializeToString())
        assert answers(hers)
    assert jane.http.get(f"{stack.url}/_stcore/health").status_code == 200
