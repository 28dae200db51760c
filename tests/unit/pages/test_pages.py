"""The pages in Streamlit's AppTest: real database, real certificate check, no browser."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pki
import pytest
from app_pages.parts import session
from auth import Authenticator
from portal import deployments
from portal.context import Portal
from portal.core.models import Order, State
from portal.core.people import User
from portal.core.resources import Quota
from portal.scheduling import quotas
from streamlit.testing.v1 import AppTest
from support.apptest import APP, texts, with_size
from support.samples import TEST


@pytest.fixture
def janes_page(
    portal: Portal, jane: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AppTest:
    authority = pki.Authority("Test")
    bundle = tmp_path / "client_ca"
    bundle.write_bytes(authority.bundle)
    door = Authenticator(portal.settings.model_copy(update={"client_ca_file": bundle}))
    card = authority.person("DOE.JANE.Q.1234567890", None).certificate
    headers = {
        "X-Proxy-Secret": "only-nginx-knows",
        "X-Client-Verify": "SUCCESS",
        "X-Client-Cert": quote(pki.pem(card).decode()),
    }
    monkeypatch.setattr(session, "_wired", lambda: (portal, door))
    monkeypatch.setattr(session, "request_headers", lambda: headers)
    return AppTest.from_file(APP, default_timeout=20)


def test_no_tab_clears_what_all_pages_share() -> None:
    asks = "import pages; pages.AppSession._handle_clear_cache_request(None)"
    subprocess.run([sys.executable, "-c", asks], check=True, cwd=Path(APP).parent)


def test_without_containers_home_is_deploy(janes_page: AppTest) -> None:
    page = janes_page.run()
    assert not page.exception
    assert "Machine learning (CPU)" in texts(page)
    assert "Jane Q Doe" in texts(page)
    assert "after the image is downloaded (300 MB), with a new home folder" in texts(page)


def test_deploy_records_the_order(janes_page: AppTest, portal: Portal, jane: User) -> None:
    page = with_size(janes_page.run(), "Custom")
    page.select_slider(key="memory").set_value(4)
    page.button(key="deploy").click().run()
    [made] = deployments.mine(portal, jane)
    assert (made.state, made.memory_gb, made.name) == (State.PENDING, 4.0, "ml-cpu")


def test_a_size_is_memory_and_cpus(janes_page: AppTest, portal: Portal, jane: User) -> None:
    with_size(janes_page.run(), "Medium").button(key="deploy").click().run()
    [made] = deployments.mine(portal, jane)
    assert (made.memory_gb, made.cpus) == (8, 4)


def test_sizes_that_would_not_be_granted_are_named_with_the_reason(
    janes_page: AppTest, portal: Portal
) -> None:
    quotas.set_quota(portal, TEST, "default", "", Quota(memory_gb=9, cpus=4))
    page = janes_page.run()
    assert "Large needs more than you can have now: 9 GB, 4 CPUs." in texts(page)
    quotas.set_quota(portal, TEST, "default", "", Quota(memory_gb=2, cpus=1))
    assert "Medium and Large need more than you can have now" in texts(page.run())


def test_an_order_that_is_half_made_is_there_again_on_the_way_back(janes_page: AppTest) -> None:
    page = with_size(janes_page.run(), "Custom")
    page.select_slider(key="memory").set_value(4)
    page.text_input(key="name-ml-cpu").set_value("mine").run()
    page.switch_page("app_pages/keys.py").run()
    page.switch_page("app_pages/deploy.py").run()
    assert page.select_slider(key="memory").value == 4
    assert page.text_input(key="name-ml-cpu").value == "mine"


def test_a_private_key_stays_on_no_screen(janes_page: AppTest, portal: Portal) -> None:
    page = janes_page.run().switch_page("app_pages/keys.py").run()
    page.text_area(key="key-text-0").set_value("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn")
    page = next(each for each in page.button if each.label == "Add").click().run()
    assert "It was not kept." in texts(page)
    assert [each.value for each in page.text_area] == [""]


def test_the_same_as_last_time_is_one_click(
    janes_page: AppTest, portal: Portal, jane: User
) -> None:
    order = Order("ml-cpu", "odd", memory_gb=3, cpus=1.5, ssh=True)
    deployments.request(portal, jane, order)
    page = janes_page.run().switch_page("app_pages/deploy.py").run()
    page.button(key="same").click().run()
    assert not page.exception
    page.button(key="deploy").click().run()
    assert {(d.memory_gb, d.cpus, d.ssh) for d in deployments.mine(portal, jane)} == {
        (3, 1.5, True)
    }
    assert len(deployments.mine(portal, jane)) == 2


def test_a_bad_name_disables_the_button_with_the_reason(janes_page: AppTest) -> None:
    page = janes_page.run()
    page.text_input(key="name-ml-cpu").set_value("../x").run()
    assert page.button(key="deploy").disabled
    assert "lowercase letters, digits and hyphens" in texts(page)


def test_with_a_container_home_is_my_containers(
    janes_page: AppTest, portal: Portal, jane: User
) -> None:
    """What it shows is test_board.py's, how it looks the browser's."""
    deployments.request(portal, jane, Order("ml-cpu", "yesterday"))
    page = janes_page.run()
    assert not page.exception
    assert [each.value for each in page.subheader] == ["My containers"]
    assert [each.key for each in page.get("bidi_component")] == ["bar", "containers"]


def test_somebody_without_a_certificate_sees_words_and_nothing_else(
    janes_page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "request_headers", lambda: {"X-Client-Verify": "SUCCESS"})
    page = janes_page.run()
    assert not page.exception
    assert "did not come through the portal's gateway" in texts(page)
    assert not page.button


def test_a_classification_is_above_and_below_every_page(
    portal: Portal, jane: User, page_of: Callable[[User, str], AppTest]
) -> None:
    def drawn(page: str) -> str:
        return "".join(each.proto.body for each in page_of(jane, page).get("html"))

    assert "classification" not in drawn("keys")
    update = {"classification": "SECRET//NOFORN", "classification_colour": "#ffff00"}
    object.__setattr__(portal, "settings", portal.settings.model_copy(update=update))
    for page in ("keys", "containers", "deploy"):
        shown = drawn(page)
        assert shown.count(">SECRET//NOFORN<") == 2
        assert "background: #ffff00; color: #000000" in shown
