"""Who can reach what: measured everywhere, and compared with docs/SECURITY.md's table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import builds
import docker
import pytest
from builds import ROOT, StackError
from databases import database_on
from docker.models.containers import Container
from harness import HARNESS
from harness.machines import Machine, Machines
from harness.people import Person, photograph, wait_until
from playwright.sync_api import Page, expect
from stack import Stack

KNOCK = "timeout 3 bash -c '</dev/tcp/{host}/{port}' 2>/dev/null && echo open || echo closed"
NOT_OURS = "your network's"
"""What the portal cannot decide: VMs, portal and workstation are on one network in this test."""
AT_ONCE = 10
WORKSTATION = "container-portal-test-workstation:dev"


@dataclass
class Site:
    """Two machines prepared by setup-vm.sh: Jane and John on the first, John on the second."""

    stack: Stack
    first: Machine
    second: Machine
    workstation: Container
    database: str
    containers: dict[str, str] = field(default_factory=dict)
    """Whose container → its name on its machine."""

    def knock(self, place: str, host: str, port: int) -> str:
        """ "open" or "closed", as it is from a place."""
        script = KNOCK.format(host=host, port=port)
        # From its network; the VM's own shell, the image need not have one.
        if place.startswith("a container of"):
            machine = self.second if place.endswith("another VM") else self.first
            process = f"$(docker inspect -f '{{{{.State.Pid}}}}' {self.containers[place]})"
            return machine.run(f"nsenter --net --target {process} {script}").strip()
        box = (
            self.workstation
            if place == "a workstation"
            else docker.from_env().containers.get(f"{self.stack.project}-proxy-1")
        )
        output = box.exec_run(["bash", "-c", script])[1]
        assert isinstance(output, bytes)
        return output.decode().strip()

    def inner(self) -> str:
        """The address of A's container on its VM, with a route to it over the VM."""
        address = self.first.run(
            "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "
            + self.containers["a container of A"]
        ).strip()
        route = f"ip route replace {address}/32 via {self.first.address}"
        self.second.run(route)
        code, output = self.workstation.exec_run(route.split())
        assert code == 0, output
        return address

    def targets(self) -> dict[str, list[tuple[str, int]]]:
        """What the columns of the table mean: one door of each closes the cell for good."""
        inner = self.inner()
        api, worker = self.stack.addresses("api", "worker")
        return {
            "A's notebook and TensorBoard": [
                (self.first.address, 10000),
                (self.first.address, 10001),
                (inner, 8888),
            ],
            "A's SSH": [(self.first.address, 10002)],
            "the VM's SSH": [(self.first.address, 22)],
            "the VM's engine": [(self.first.address, 2375), (self.first.address, 2376)],
            "the portal": [(api, 8000), (worker, 9000)],
            "the database": [(self.database, 5432)],
        }

    def measured(self) -> dict[str, dict[str, str]]:
        """Row → column → "open" when any door is, as it is now."""
        targets, asked = self.targets(), promised()
        cells = [(place, column) for place in asked for column in targets]

        def cell(place: str, column: str) -> str:
            if asked[place][column] == NOT_OURS:
                return NOT_OURS
            itself = place == "a container of A" and column.startswith("A's")
            doors = [d for d in targets[column] if not itself or d[0] == self.first.address]
            return "open" if "open" in [self.knock(place, *door) for door in doors] else "closed"

        # At once: what is closed says nothing, and each knock then waits to its end.
        with ThreadPoolExecutor(AT_ONCE) as knocking:
            states = list(knocking.map(lambda each: cell(*each), cells))
        matrix: dict[str, dict[str, str]] = {place: {} for place in asked}
        for (place, column), state in zip(cells, states, strict=True):
            matrix[place][column] = state
        return matrix


def table() -> list[list[str]]:
    """The rows of SECURITY.md's isolation matrix, the header first."""
    text = (ROOT / "docs" / "SECURITY.md").read_text(encoding="utf-8")
    part = text.partition("<!-- isolation matrix -->")[2].partition("<!-- end -->")[0]
    lines = [line for line in part.strip().splitlines() if not re.fullmatch(r"[|\s-]+", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def promised() -> dict[str, dict[str, str]]:
    head, *body = table()
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in body}


@pytest.fixture(scope="module")
def site(
    stack: Stack, person: Callable[[str], Person], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    machines = Machines(stack)
    builds.build(HARNESS / "workstation", WORKSTATION)
    network = f"{stack.project}_portal"
    # To set a route.
    model = docker.from_env().containers.run(
        WORKSTATION, detach=True, network=network, init=True, cap_add=["NET_ADMIN"]
    )
    database = database_on(network, tmp_path_factory.mktemp("database"))
    people = {name: person(name) for name in ("jane", "john")}
    for somebody in people.values():
        somebody.http.get("/api/v1/me").raise_for_status()
    active = [vm["name"] for vm in machines.vms() if vm["state"] == "active"]
    try:
        first = machines.add("debian-12", 222, kind="installed")
        second = machines.add("debian-13", 223, kind="installed")
        for machine in (first, second):
            done = machines.setup("--name", machine.name, machine.address)
            assert done.returncode == 0, done.stdout
        made = Site(
            stack,
            first,
            second,
            model,
            database.attrs["NetworkSettings"]["Networks"][network]["IPAddress"],
        )
        # B first: each VM gives the first network to whoever comes first, and A's must not be B's
        # on the other VM.
        orders = (
            ("john", "a container of B", first),
            ("jane", "a container of A", first),
            ("john", "a container of B on another VM", second),
        )
        for name in active:
            stack.admin("vm", "drain", name)
        for who, place, machine in orders:
            other = second if machine is first else first
            stack.admin("vm", "drain", other.name)
            deployed = people[who].deploy(
                place.replace("a container of ", "").replace(" ", "-").lower(), ssh=True
            )
            settled = people[who].settled(deployed["id"])
            assert (settled["state"], settled["vm"]) == ("running", machine.name), settled
            made.containers[place] = f"portal-{deployed['id']}"
            stack.admin("vm", "activate", other.name)
        yield made
    finally:
        for somebody in people.values():
            somebody.remove_all()
        for name in active:
            stack.admin("vm", "activate", name)
        machines.close()
        for box in (model, database):
            box.remove(force=True, v=True)


def settled_again(site: Site, machine: Machine) -> None:
    """After the engine was away: containers are up again, by the portal or the engine."""
    wait_until(
        lambda: "10000" in machine.run("docker ps --format '{{.Ports}}'", check=False),
        "containers run",
        60,
    )
    wait_until(
        lambda: site.knock("the gateway", machine.address, 10000) == "open",
        "A's notebook answers",
        60,
    )


def test_the_matrix_after_setup(site: Site) -> None:
    assert site.measured() == promised()


def proved(site: Site) -> dict[str, Any]:
    """The VM's last proof, as it is in the audit trail."""
    found = json.loads(site.stack.admin("audit", "list", "--subject", f"vm:{site.first.name}"))
    return dict(next(each for each in reversed(found) if each["action"] == "vm.isolation"))


def test_two_made_up_people_prove_it_and_an_open_door_takes_the_vm_out(site: Site) -> None:
    said = site.stack.admin("vm", "isolation", site.first.name)
    assert "keeps containers apart" in said
    print(said)
    cells = proved(site)["details"]["cells"]
    closed = {
        *("the other's notebook and TensorBoard", "the other's SSH", "the VM's SSH"),
        *("the VM's engine", "other VMs", "the portal", "cloud metadata", "GPUs"),
    }
    for reached in cells.values():
        assert {target for target, state in reached.items() if state == "closed"} >= closed
    names = site.first.run("docker ps --all --format '{{.Names}}'")
    assert "-proof-" not in names
    site.first.run("nft delete table inet container_portal")
    try:
        with pytest.raises(StackError, match="container of A"):
            site.stack.admin("vm", "isolation", site.first.name)
        assert "a container of A: the VM's SSH" in proved(site)["details"]["breaches"]
        [vm] = [vm for vm in Machines(site.stack).vms() if vm["name"] == site.first.name]
        assert vm["state"] == "draining"
    finally:
        site.first.run("systemctl reload container-portal-firewall")
    assert "keeps containers apart" in site.stack.admin("vm", "isolation", site.first.name)
    site.stack.admin("vm", "activate", site.first.name)


def test_the_matrix_after_the_engine_was_restarted(site: Site) -> None:
    site.first.run("systemctl restart docker")
    settled_again(site, site.first)
    assert site.measured() == promised()


def test_containers_reach_no_cloud_metadata_and_no_internal_network(site: Site) -> None:
    hosts = ("169.254.169.254", site.second.address, f"{site.stack.subnet}.1")
    doors = [(host, port) for host in hosts for port in (22, 80, 10100)]
    with ThreadPoolExecutor(AT_ONCE) as knocking:
        states = knocking.map(lambda door: site.knock("a container of A", *door), doors)
    assert dict(zip(doors, states, strict=True)) == dict.fromkeys(doors, "closed")
    counted = site.first.run("nft list chain inet container_portal from_containers")
    metadata = re.search(r'counter packets (\d+) .*"cloud metadata"', counted)
    assert metadata and int(metadata[1]) > 0, counted


def test_who_may_use_ssh_is_a_setting(site: Site) -> None:
    machines = Machines(site.stack, {site.first.name: site.first})
    site.workstation.reload()
    address = site.workstation.attrs["NetworkSettings"]["Networks"][f"{site.stack.project}_portal"][
        "IPAddress"
    ]
    for networks, state in ((f"{address}/32", "open"), ("", "closed")):
        done = machines.setup(
            "--name", site.first.name, site.first.address, PORTAL_SSH_NETWORKS=networks
        )
        assert done.returncode == 0, done.stdout
        assert site.knock("a workstation", site.first.address, 10002) == state
        assert site.knock("a workstation", site.first.address, 10000) == "closed"


@pytest.mark.parametrize(
    ("egress", "doors"),
    [
        ("none", {9: "dropped", 10: "dropped"}),
        ("proxy", {9: "let out", 10: "dropped"}),
        ("open", {9: "let out", 10: "let out"}),
    ],
)
def test_the_way_out_is_a_setting(site: Site, egress: str, doors: dict[int, str]) -> None:
    """An address outside the internal network: this host's on Docker's own bridge."""
    subnet = docker.from_env().networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    outside = str(next(ip_network(subnet).hosts()))
    machines = Machines(site.stack, {site.first.name: site.first})
    done = machines.setup(
        "--name",
        site.first.name,
        site.first.address,
        PORTAL_EGRESS=egress,
        PORTAL_EGRESS_PROXY=f"{outside}:9" if egress == "proxy" else "",
    )
    assert done.returncode == 0, done.stdout
    fate = {}
    for port in doors:
        before = site.first.run("nft list chain inet container_portal from_containers")
        site.knock("a container of A", outside, port)
        dropped = site.first.run("nft list chain inet container_portal from_containers") != before
        fate[port] = "dropped" if dropped else "let out"
    assert fate == doors


def test_the_portals_key_reaches_the_engines_socket_and_nothing_else_through_a_vm(
    site: Site,
) -> None:
    script = (
        "import asyncio, asyncssh, sys\n"
        "async def main():\n"
        f"    async with asyncssh.connect('{site.first.address}', username='portal',\n"
        "            client_keys=['/run/secrets/ssh_key'], known_hosts=None) as ssh:\n"
        "        await ssh.open_unix_connection('/var/run/docker.sock')\n"
        "        print('socket')\n"
        "        try:\n"
        f"            await ssh.open_connection('{site.second.address}', 22)\n"
        "            print('tcp')\n"
        "        except asyncssh.ChannelOpenError as refused: print('refused')\n"
        "asyncio.run(main())"
    )
    output = site.stack.compose("exec", "-T", "worker", "python3", "-c", script, capture=True)
    assert output.split() == ["socket", "refused"]


def test_a_firewall_that_somebody_took_away_is_an_alarm_and_goes_when_it_is_back(
    site: Site, person: Callable[[str], Person], browser_of: Callable[..., Page]
) -> None:
    person("admin").http.get("/api/v1/me").raise_for_status()
    site.first.run("nft delete table inet container_portal")
    page = browser_of("admin")
    page.goto(f"{site.stack.url}/vms")

    def firewall() -> str:
        return next(
            str(vm["firewall"])
            for vm in Machines(site.stack).vms()
            if vm["name"] == site.first.name
        )

    wait_until(lambda: firewall() == "missing", "the worker notices", 60)
    page.reload()
    alarm = (
        page.get_by_test_id("stAlert")
        .filter(has_text="has no firewall")
        .filter(has_text=site.first.name)
    )
    expect(alarm).to_be_visible()
    photograph(page, "vm-alarm")
    site.first.run("systemctl reload container-portal-firewall")
    wait_until(lambda: firewall() == "ok", "the worker notices", 60)
    page.reload()
    expect(page.get_by_role("heading", name="VMs")).to_be_visible()
    expect(alarm).to_have_count(0)


def test_the_matrix_after_a_power_cut(site: Site, person: Callable[[str], Person]) -> None:
    """The rules are there before Docker is; what ran starts again by itself."""

    def of(who: str, place: str) -> dict[str, Any]:
        deployment = site.containers[place].removeprefix("portal-")
        shown: dict[str, Any] = person(who).http.get(f"/api/v1/deployments/{deployment}").json()
        return shown

    places = {"jane": "a container of A", "john": "a container of B"}
    started = {who: of(who, place)["started_at"] for who, place in places.items()}
    site.first.power_cycle()
    assert site.first.run("portal-firewall check").strip() == "ok"
    when = site.first.run(
        "for unit in container-portal-firewall docker; do "
        "systemctl show -p ActiveEnterTimestampMonotonic --value $unit; done"
    )
    firewall, engine = (int(line) for line in when.split())
    assert firewall < engine

    def runs_again() -> bool:
        now = {who: of(who, place) for who, place in places.items()}
        return all(
            each["state"] == "running" and each["started_at"] != started[who]
            for who, each in now.items()
        )

    wait_until(runs_again, "both run again", 90)
    assert site.measured() == promised()
