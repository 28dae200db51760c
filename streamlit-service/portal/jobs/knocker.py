"""Runs inside a throw-away container: listens as a notebook does, and tries what must be closed.

Sent to it as text, so nothing but the standard library. Prints a line of JSON: its addresses; and,
where KNOCK names doors, another: which of them opened.
"""

import json
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path

WAIT_S, LISTEN_S = 2.0, 90.0
PORTS = (8888, 6006, 22)


def listen(port: int) -> None:
    """Take connections, and close them."""
    with socket.create_server(("", port)) as server:
        while True:
            server.accept()[0].close()


def gateway() -> str:
    """Of the network that it is on: an address of the VM."""
    with Path("/proc/net/route").open(encoding="ascii") as routes:
        for line in routes:
            fields = line.split()
            if fields[1] == "00000000":
                return socket.inet_ntoa(struct.pack("<L", int(fields[2], 16)))
    return ""


def opens(door: list[str]) -> bool:
    """A path that is there, or a port that takes a connection."""
    if len(door) == 1:
        return any(Path("/").glob(door[0].lstrip("/")))
    try:
        with socket.create_connection((door[0], int(door[1])), timeout=WAIT_S):
            return True
    except OSError:
        return False


def tell(what: dict[str, object]) -> None:
    """Print it."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Listen, tell, try, tell, and wait to be removed."""
    for port in PORTS:
        threading.Thread(target=listen, args=(port,), daemon=True).start()
    own = socket.gethostbyname(socket.gethostname())
    tell({"address": own, "gateway": gateway()})
    doors = json.loads(os.environ.get("KNOCK", "[]"))
    found = [False] * len(doors)

    def knock(at: int) -> None:
        found[at] = opens(doors[at])

    threads = [threading.Thread(target=knock, args=(at,)) for at in range(len(doors))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if doors:
        tell({"opened": found})
    time.sleep(LISTEN_S)


main()
