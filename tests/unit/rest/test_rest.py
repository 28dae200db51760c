"""REST v1 over the real database: who may do what, and how refusals look.

The certificate's part is test_auth's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import rest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from portal import db, deployments
from portal.context import Portal
from portal.core.figures import Figures
from portal.core.models import Deployment, Order, Vm
from portal.core.people import User
from rest import errors
from rest.dependencies import Services
from support.callers import Door
from support.fakes import FakeClock
from support.gpu_world import report, see

WorkOff = Callable[..., Deployment]
JANE_IS = "Jane Q Doe (edipi:1234567890)"


ADMIN_ONLY = [
    ("GET", "/fleet", None),
    ("GET", "/users", None),
    ("GET", "/quotas", None),
    ("DELETE", "/vms/vm-01", None),
    ("POST", "/vms/vm-01/lost", {"reason": "it burnt down"}),
    ("POST", "/vms/vm-01/drain", None),
    ("DELETE", "/vms/vm-01/gpus/GPU-1", None),
    ("PUT", "/vms/vm-01/assignment", {}),
    ("PUT", "/quotas/default", {"gpus": 9}),
    ("DELETE", "/quotas/default", None),
    ("PUT", "/users/x/group?group=g", None),
    ("GET", "/usage?everybody=true", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ADMIN_ONLY)
def test_administration_is_refused_without_the_role(
    ask: Callable[..., Any], portal: Portal, method: str, path: str, body: Any
) -> None:
    status, problem = ask("jane", method, path, json=body)
    assert (status, problem["code"]) == (403, "not_admin")
    with portal.database.reading() as tx:
        assert db.vms.all_vms(tx)[0].state == "active"


def test_a_vm_is_drained_activated_and_given_up(ask: Callable[..., Any], portal: Portal) -> None:
    def state() -> str:
        with portal.database.reading() as tx:
            return db.vms.all_vms(tx)[0].state if db.vms.all_vms(tx) else "gone"

    for action, becomes in (("drain", "draining"), ("activate", "active")):
        assert ask("ray", "POST", f"/vms/vm-01/{action}")[0] == 204
        assert state() == becomes
    with portal.database.transaction() as tx:
        db.vms.update(tx, 1, reachable=False)
    assert ask("ray", "POST", "/vms/vm-01/lost", json={"reason": "it burnt down"}) == (200, [])
    assert state() == "gone"
    assert ask("ray", "POST", "/vms/vm-01/explode")[0] == 404


def test_a_gpu_that_was_taken_out_is_forgotten(
    ask: Callable[..., Any], portal: Portal, gpu_vm: Vm
) -> None:
    assert ask("ray", "DELETE", "/vms/vm-01/gpus/GPU-1")[1]["code"] == "gpu_present"
    see(portal, report(1))
    assert ask("ray", "DELETE", "/vms/vm-01/gpus/GPU-1")[0] == 204
    assert ask("ray", "DELETE", "/vms/vm-01/gpus/GPU-1")[1]["code"] == "no_such_gpu"


def test_figures_are_its_owners_by_the_minute_or_the_hour(
    ask: Callable[..., Any], portal: Portal, clock: FakeClock
) -> None:
    made = ask("jane", "POST", "/deployments", json={"image": "ml-cpu", "memory_gb": 4})[1]["id"]
    nothing = ask("jane", "GET", f"/deployments/{made}/figures")[1]
    assert (nothing["points"], nothing["memory_peak_gb"], nothing["memory_gb"]) == ([], None, 4)
    with portal.database.transaction() as tx:
        db.figures.put(tx, {made: Figures(clock() - timedelta(minutes=5), 1.5, 2.0, 3.0)})
    seen = ask("jane", "GET", f"/deployments/{made}/figures")[1]
    assert (seen["span_s"], seen["memory_peak_gb"], seen["points"][0]["cpus"]) == (60, 3.0, 1.5)
    long_ago = quote((clock() - timedelta(days=30)).isoformat())
    by_hour = ask("jane", "GET", f"/deployments/{made}/figures?since={long_ago}")[1]
    assert (by_hour["span_s"], by_hour["memory_peak_gb"]) == (3600, 3.0)  # the hour goes on
    a_day_ago = quote((clock() - timedelta(days=1, seconds=2)).isoformat())  # by a browser's clock
    assert ask("jane", "GET", f"/deployments/{made}/figures?since={a_day_ago}")[1]["span_s"] == 60
    assert ask("john", "GET", f"/deployments/{made}/figures")[0] == 404
    assert ask("jane", "GET", f"/deployments/{made}/figures?since=yesterday")[0] == 422


def test_an_administrator_sets_quotas_and_groups(ask: Callable[..., Any]) -> None:
    assert ask("ray", "PUT", "/quotas/user?key=edipi:1234567890", json={"gpus": 7})[0] == 204
    assert ask("ray", "PUT", "/users/edipi:1234567890/group?group=vision")[0] == 204
    assert ask("ray", "PUT", "/quotas/group?key=vision", json={"memory_gb": 64})[0] == 204
    _, me = ask("jane", "GET", "/me")
    assert (me["limits"]["gpus"], me["group"], me["group_quota"]["limits"]["memory_gb"]) == (
        7,
        "vision",
        64,
    )
    assert {row["scope"] for row in ask("ray", "GET", "/quotas")[1]} == {"user", "group"}
    assert ask("ray", "DELETE", "/quotas/user?key=edipi:1234567890")[0] == 204
    assert ask("jane", "GET", "/me")[1]["limits"]["gpus"] == 2


def test_accounts_are_merged_and_come_apart_whatever_a_name_holds(ask: Callable[..., Any]) -> None:
    other = "upn:jane/smith@example.org"
    jane = "/users/edipi:1234567890"
    assert ask("ray", "POST", f"{jane}/merge", params={"other": other})[0] == 204
    assert ask("ray", "PUT", f"/users/{other}/group?group=vision")[0] == 204
    assert ask("jane", "GET", "/me")[1]["group"] == "vision"
    assert ask("ray", "DELETE", "/users/upn:jane%2Fsmith@example.org/merge")[0] == 204
    assert ask("ray", "DELETE", f"/users/{other}/merge")[1]["code"] == "no_such_user"
    assert ask("ray", "POST", f"{jane}/merge", params={"other": "jane"})[1]["code"] == "bad_subject"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/quotas/user?key=edipi:0000000000", {"gpus": 1}, 404, "no_such_user"),
        ("/quotas/default", {"gpus": -1}, 422, "bad_request"),
        ("/quotas/planet", {"gpus": 1}, 422, "bad_request"),
        ("/quotas/default", {"tanks": 1}, 422, "bad_request"),
        ("/quotas/group", {"gpus": 1}, 422, "bad_scope"),
        ("/vms/nowhere/assignment", {}, 404, "no_such_vm"),
        ("/vms/vm-01/assignment", {"pool": "../x"}, 422, "bad_group"),
        ("/quotas/user?key=edipi:1234567890", {"memory_gb": 1e21}, 422, "bad_request"),
        ("/vms/vm-01/assignment", {"owner": "edipi:0"}, 404, "no_such_user"),
    ],
)
def test_nonsense_is_refused_in_words(
    ask: Callable[..., Any], path: str, body: dict[str, Any], status: int, code: str
) -> None:
    got, problem = ask("ray", "PUT", path, json=body)
    assert (got, problem["code"]) == (status, code)
    assert problem["message"] and problem["hint"]


def test_an_order_with_a_number_of_400_digits_is_refused_in_words(ask: Callable[..., Any]) -> None:
    order = {"image": "ml-cpu", "gpus": 10**400}
    got, problem = ask("jane", "POST", "/deployments", json=order)
    assert (got, problem["code"]) == (422, "bad_request")


def test_a_vm_is_drained_assigned_and_removed(ask: Callable[..., Any]) -> None:
    assert ask("ray", "POST", "/vms/vm-01/drain")[0] == 204
    assert ask("ray", "GET", "/fleet")[1][0]["state"] == "draining"
    assert ask("ray", "POST", "/vms/vm-01/activate")[0] == 204
    assert ask("ray", "PUT", "/vms/vm-01/assignment", json={"owner": "edipi:1234567890"})[0] == 204
    assert ask("ray", "GET", "/fleet")[1][0]["owner"] == "edipi:1234567890"
    assert ask("ray", "DELETE", "/vms/vm-01")[0] == 204
    assert ask("ray", "GET", "/fleet")[1] == []


def test_usage_is_ones_own_and_exported(
    ask: Callable[..., Any], portal: Portal, jane: User, clock: FakeClock, work_off: WorkOff
) -> None:
    work_off(deployments.request(portal, jane, Order("ml-cpu", "mine", cpus=2)).id)
    since = clock.at.isoformat()
    clock.forward(timedelta(hours=2).total_seconds())
    period = {"since": since, "until": clock.at.isoformat(), "by": ["user", "image"]}
    [row] = ask("jane", "GET", "/usage", params=period)[1]
    assert (row["key"], row["cpu_hours"]) == ({"user": JANE_IS, "image": "ml-cpu"}, 4.0)
    status, text = ask(
        "ray", "GET", "/usage", params={**period, "everybody": True, "format": "csv"}
    )
    assert (status, text.splitlines()[0]) == (200, "user,image,gpu_hours,cpu_hours,memory_gb_hours")
    assert text.splitlines()[1] == f"{JANE_IS},ml-cpu,0.0000,4.0000,4.0000"
    assert ask("ray", "GET", "/usage", params=period)[1] == []
    # Whose midnight?
    assert ask("jane", "GET", "/usage", params={"since": "2026-01-01T00:00:00"})[0] == 422


def test_a_change_from_another_sites_page_is_refused(
    ask: Callable[..., Any], portal: Portal, jane: User
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "mine"))
    app_headers = {"Origin": "https://evil.example", "X-Person": "jane"}
    app = FastAPI(redirect_slashes=False)
    errors.install(app)
    rest.install(app, Services(portal, Door(), None))  # type: ignore[arg-type]
    answer = TestClient(app).delete(f"/api/v1/deployments/{made.id}", headers=app_headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")


def test_a_log_that_cannot_be_read_is_a_problem_to_programs_and_a_sentence_to_who_downloads_it(
    ask: Callable[..., Any], portal: Portal, jane: User
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "mine"))
    status, problem = ask("jane", "GET", f"/deployments/{made.id}/logs")
    assert (status, problem["code"]) == (502, "worker_silent")
    status, text = ask("jane", "GET", f"/deployments/{made.id}/logs?download=true")
    assert (status, text) == (502, "The log cannot be read now. Try again in a minute.\n")


@pytest.mark.parametrize(
    "path",
    [
        "/usage?until=0001-01-01T00:00:00Z",
        "/usage?since=0001-01-01T00:00:00%2B14:00",
        "/usage?until=9999-12-31T23:59:59-14:00",
        "/usage?since=1999-12-31T23:59:59Z&until=2000-02-01T00:00:00Z",
        "/usage?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
    ],
)
def test_a_period_that_is_none_is_refused_with_the_bounds(
    ask: Callable[..., Any], path: str
) -> None:
    status, problem = ask("jane", "GET", path)
    assert (status, problem["code"]) == (422, "bad_period")
    assert "between 2000 and 2200" in problem["message"]


BEFORE, AFTER = "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"


@pytest.mark.parametrize("moment", [BEFORE, AFTER, "1999-12-31T23:59:59Z"])
@pytest.mark.parametrize(
    ("who", "path"),
    [
        ("jane", "/deployments/{mine}/figures?since={moment}"),
        ("ray", "/audit?since={moment}"),
        ("ray", "/audit?until={moment}"),
        ("ray", "/audit/export?since={moment}"),
        ("ray", "/audit/export?until={moment}"),
    ],
)
def test_a_moment_that_nobody_means_is_refused_wherever_one_is_taken(
    ask: Callable[..., Any], portal: Portal, jane: User, who: str, path: str, moment: str
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "mine"))
    status, problem = ask(who, "GET", path.format(mine=made.id, moment=moment))
    assert status == 422
    assert "between 2000 and 2200" in problem["message"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/announcements", {"text": "x", "begins_at": "9999-12-31T00:00:00Z"}),
        ("POST", "/announcements", {"text": "x", "begins_at": "2199-12-31T00:00:00Z"}),
        ("POST", "/announcements", {"text": "x", "ends_at": "9999-12-31T00:00:00Z"}),
        ("POST", "/vms/vm-01/drain", {"by": "9999-12-31T23:59:59-14:00", "reason": "It ends."}),
        ("PUT", "/services/nightly", {"scopes": ["read"], "ends_at": "0001-01-01T00:00:00+14:00"}),
    ],
)
def test_so_it_is_in_bodies(
    ask: Callable[..., Any], method: str, path: str, body: dict[str, Any]
) -> None:
    status, problem = ask("ray", method, path, json=body)
    assert (status, problem["code"] in ("bad_request", "bad_period")) == (422, True), problem


ORDER = '{{"image": "ml-cpu", "name": "x", "memory_gb": {value}}}'


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"image":' * 20_000,
        ORDER.format(value="NaN"),
        ORDER.format(value="-Infinity"),
        ORDER.format(value="9" * 5_000),
        ORDER.format(value="1e999"),
        '"\\ud800"',
        "\ufeff{}",
        "nul",
    ],
)
def test_a_body_that_is_no_order_is_refused_in_words(ask: Callable[..., Any], text: str) -> None:
    headers = {"Content-Type": "application/json"}
    content = text.encode("utf-8", "surrogatepass")
    status, problem = ask("jane", "POST", "/deployments", headers, content=content)
    assert status in (400, 422), problem
    assert problem["code"] in ("bad_request", "bad_memory_gb", "http_error")
    assert len(problem["message"]) < 500


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 10**40])
def test_a_number_that_no_release_has_names_none(ask: Callable[..., Any], number: int) -> None:
    for end in ("packages", "report", "deployments"):
        status, problem = ask("ray", "GET", f"/releases/{number}/{end}")
        assert (status, problem["code"]) == (404, "no_such_release"), end


@pytest.mark.parametrize(
    "path", ["/me/", "/deployments/", "/deployments/%00", "/quotas/user?key=%00"]
)
def test_an_address_that_is_not_there_is_not_found_and_leads_nowhere_else(
    ask: Callable[..., Any], path: str
) -> None:
    assert ask("ray", "GET", path)[0] in (404, 405)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_text_that_no_database_holds_is_refused(ask: Callable[..., Any], text: str) -> None:
    for method, path, body in (
        ("POST", "/deployments", {"image": text}),
        ("POST", "/deployments", {"image": "ml-cpu", "gpu_model": text}),
        ("POST", "/ssh-keys", {"name": text, "key": "x"}),
        ("PUT", "/vms/vm-01/assignment", {"pool": text}),
    ):
        sent = json.dumps(body).encode()
        status, problem = ask(
            "ray", method, path, content=sent, headers={"Content-Type": "application/json"}
        )
        assert (status, problem["code"]) == (422, "bad_request"), body


def test_no_other_sites_page_has_the_audit_trail_exported(
    ask: Callable[..., Any], portal: Portal
) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert ask("ray", "GET", "/audit/export", headers=foreign)[0] == 403
    for own in ({"Sec-Fetch-Site": "same-origin"}, {}):
        assert ask("ray", "GET", "/audit/export", headers=own)[0] == 200
    with portal.database.reading() as tx:
        taken = [each for each in db.audit.events(tx) if each.action == "audit.exported"]
    assert len(taken) == 2
