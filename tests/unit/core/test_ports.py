from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from portal.core import ports
from portal.core.settings import Settings
from pydantic import ValidationError

ranges = st.integers(0, ports.RANGES - 1)
slots = st.integers(0, ports.SLOTS_PER_USER - 1)
services = st.sampled_from(ports.Service)


def test_jane_and_john_have_the_promised_ports() -> None:
    assert list(ports.range_of(0)) == list(range(10000, 10100))
    assert list(ports.range_of(1)) == list(range(10100, 10200))
    assert [ports.port_of(0, 0, s) for s in ports.Service] == [10000, 10001, 10002]
    assert [s.container_port for s in ports.Service] == [8888, 6006, 22]


@given(ranges, slots, services)
def test_a_port_lies_in_its_users_range_and_leads_back_to_it(
    index: int, slot: int, service: ports.Service
) -> None:
    port = ports.port_of(index, slot, service)
    assert port in ports.range_of(index)
    assert ports.range_index_of(port) == index
    assert port < 65536


@given(st.lists(st.tuples(ranges, slots, services), unique=True, max_size=50))
def test_different_places_never_share_a_port(places: list[tuple[int, int, ports.Service]]) -> None:
    assert len({ports.port_of(*place) for place in places}) == len(places)


def test_no_port_of_any_slot_is_one_that_browsers_refuse() -> None:
    everything = {
        ports.port_of(index, slot, service)
        for index in range(ports.RANGES)
        for slot in range(ports.SLOTS_PER_USER)
        for service in ports.Service
    }
    assert not everything & ports.BROWSERS_REFUSE
    assert len(everything) == ports.RANGES * ports.SLOTS_PER_USER * len(ports.Service)
    assert [ports.port_of(0, 8, service) for service in ports.Service] == [10081, 10082, 10083]


@pytest.mark.parametrize("port", [22, 6000, 6667, 10080])
def test_the_portal_itself_is_on_no_port_that_browsers_refuse(port: int) -> None:
    with pytest.raises(ValueError, match=f"browsers refuse port {port}"):
        Settings(public_port=port)


@pytest.mark.parametrize("host", ["localhost", "gpu.corp.example", "192.0.2.7", "xn--kln-sna.de"])
def test_the_portal_has_a_name_as_browsers_send_it(host: str) -> None:
    assert Settings(public_host=host, public_port=443).public_origin == f"https://{host}"


@pytest.mark.parametrize(
    "host",
    ["GPU.corp.example", "https://gpu", "gpu:8443", "gpu.", "[::1]", "köln.de", "gpu/", "-a"],
)
def test_another_name_is_refused_at_start(host: str) -> None:
    """Every click would be refused: a browser's Origin never is this."""
    with pytest.raises(ValueError, match="is not a host name"):
        Settings(public_host=host)


@given(st.integers())
def test_ports_outside_all_ranges_belong_to_nobody(port: int) -> None:
    inside = ports.FIRST_PORT <= port < ports.FIRST_PORT + ports.RANGES * ports.RANGE_SIZE
    assert (ports.range_index_of(port) is not None) == inside


@pytest.mark.parametrize(("index", "slot"), [(-1, 0), (0, -1), (0, 10)])
def test_what_does_not_exist_is_refused(index: int, slot: int) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        ports.port_of(index, slot, ports.Service.JUPYTER)


@pytest.mark.parametrize(
    "span",
    [
        "10999-10000",
        "10000-10098",
        "10000-65536",
        "0-10999",
        "010000-10999",
        "10000-",
        "10000",
        "10000-10999,12000-12099",
        "\u0661\u0660\u0660\u0660\u0660-\u0661\u0660\u0669\u0669\u0669",
        "10000-10999\n",
        "8000-10999",
        "10050-10149",
        "9000-9999",
        "1-200",
    ],
)
def test_ports_that_no_gateway_can_listen_on_are_refused_at_start(span: str) -> None:
    with pytest.raises(ValidationError):
        Settings(user_ports=span)


def test_the_smallest_and_the_largest_range_are_taken() -> None:
    for span, count in (("10000-10099", 100), ("10000-65535", 55_536)):
        assert len(Settings(user_ports=span).served_ports) == count


@pytest.mark.parametrize(
    "amounts", [{"scratch_gb": "inf"}, {"scan_max_age_days": "1e10"}, {"ready_timeout_s": "nan"}]
)
def test_amounts_that_nothing_can_hold_are_refused_at_start(amounts: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings(**amounts)  # type: ignore[arg-type]


def test_the_ranges_of_a_second_address_have_the_same_numbers() -> None:
    assert ports.range_of(ports.RANGES) == ports.range_of(0)
    assert ports.range_index_of(10000, 1) == ports.RANGES
    assert ports.range_index_of(10000, -1) is None
    assert [ports.lease_name(index, 10000) for index in (0, ports.RANGES)] == ["10000", "1:10000"]
