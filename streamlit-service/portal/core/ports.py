"""Port arithmetic: a user's range of 100 ports, ten slots in it, three services in a slot.

User n owns 10000+100n … 10099+100n. Slot k starts at base+10k: +0 Jupyter (8888), +1 TensorBoard
(6006), +2 SSH (22, when enabled). Where browsers refuse one of these ports, all begin after it.

An address of the gateway has 555 ranges. User 555 has the first of the next address, with the same
numbers as user 0, and so on; where people come by names instead, the addresses are only counted.
"""

from __future__ import annotations

import enum

LAST_PORT = 65_535
"""Of TCP."""
FIRST_PORT = 10_000
"""Of the users."""
RANGE_SIZE = 100
SLOTS_PER_USER = 10
SLOT_SIZE = 10
AUTHORIZATION_TTL_S = 2.0
"""How long the gateway may act on an answer of /authz: 1 s of cache, in whole seconds."""
RANGES = 555  # of an address; the last that ends below 65536


class Service(enum.IntEnum):
    """A service in a container; the value is its offset in a slot."""

    JUPYTER = 0
    TENSORBOARD = 1
    SSH = 2

    @property
    def container_port(self) -> int:
        """The port inside the container."""
        return {Service.JUPYTER: 8888, Service.TENSORBOARD: 6006, Service.SSH: 22}[self]


_BAD_PORTS = """
    1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113
    115 117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554
    556 563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665
    6666 6667 6668 6669 6679 6697 10080
"""
BROWSERS_REFUSE = frozenset(map(int, _BAD_PORTS.split()))
"""Ports that no page is fetched from, whatever answers there (Fetch standard, "bad port")."""
THROUGH_GATEWAY = (Service.JUPYTER, Service.TENSORBOARD)


def range_of(range_index: int) -> range:
    """The ports of a user, at their address. ValueError below 0."""
    if range_index < 0:
        raise ValueError(f"port range {range_index} does not exist")
    base = FIRST_PORT + RANGE_SIZE * (range_index % RANGES)
    return range(base, base + RANGE_SIZE)


def port_of(range_index: int, slot: int, service: Service) -> int:
    """The port of a service in a slot. ValueError when the slot is outside 0 … 9."""
    if not 0 <= slot < SLOTS_PER_USER:
        raise ValueError(f"slot {slot} does not exist; there are {SLOTS_PER_USER}")
    start = range_of(range_index)[SLOT_SIZE * slot]
    while any(start + each in BROWSERS_REFUSE for each in Service):
        start += 1
    return start + service


def slot_ports(range_index: int, slot: int, *, ssh: bool = False) -> dict[Service, int]:
    """The published ports of a slot: those behind nginx and, if asked for, the VM's own for SSH."""
    services = (*THROUGH_GATEWAY, Service.SSH) if ssh else THROUGH_GATEWAY
    return {service: port_of(range_index, slot, service) for service in services}


def range_index_of(port: int, address: int = 0) -> int | None:
    """Which user's range a port of an address belongs to; None for a port outside all ranges."""
    index = (port - FIRST_PORT) // RANGE_SIZE
    return index + RANGES * address if 0 <= index < RANGES and address >= 0 else None


def address_of(range_index: int) -> int:
    """At which of the gateway's addresses a range is: 0 is the first."""
    return range_index // RANGES


def lease_name(range_index: int, port: int) -> str:
    """What a port is called where it is leased: of two addresses, equal numbers are two ports."""
    address = address_of(range_index)
    return f"{address}:{port}" if address else str(port)
