"""The main job in a real browser: card, image, Deploy, progress, JupyterLab, TensorBoard."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.fleet import TestVm
from harness.people import Person, photograph
from playwright.sync_api import Page, Response, expect
from stack import Stack

OpenBrowser = Callable[..., Page]
DOWNLOAD_MS = 180_000
OLD_TORNADO = "tornado==5.1.1"


def test_jane_goes_from_her_card_to_a_cells_output(
    stack: Stack, vm_a: TestVm, jane: Person, browser_of: OpenBrowser
) -> None:
    vm_a.run("docker", "image", "prune", "--all", "--force")  # a download is to be seen
    page = browser_of("jane")
    refused: list[str] = []
    page.context.on("response", lambda answer: _add_refused(refused, answer))
    page.goto(stack.url)
    expect(page.get_by_text("Jane Q Doe")).to_be_visible()
    expect(page.get_by_text("Machine learning (CPU)")).to_be_visible()
    photograph(page, "deploy")
    page.get_by_role("textbox", name="Name").fill("analysis")
    page.get_by_role("textbox", name="Name").press("Enter")
    page.get_by_role("button", name="Deploy", exact=True).click()

    expect(page.get_by_text("My containers").last).to_be_visible()
    expect(page.get_by_text("Downloading").first).to_be_visible()
    expect(page.get_by_text(" of ").first).to_be_visible(timeout=DOWNLOAD_MS)
    photograph(page, "downloading")
    link = page.get_by_role("link", name="Open JupyterLab")
    expect(link).to_be_visible(timeout=DOWNLOAD_MS)
    photograph(page, "running")
    with page.expect_popup() as popup:
        link.click()
    lab = popup.value
    assert lab.url.startswith(f"https://{stack.host}:10000/")
    expect(lab).to_have_title("JupyterLab (analysis)", timeout=60_000)
    run_a_cell(lab)
    photograph(lab, "jupyterlab")
    assert not refused

    page.get_by_role("button", name="More").click()
    with page.expect_popup() as popup:
        page.get_by_role("menuitem", name="Open TensorBoard").click()
    board = popup.value
    assert board.url.startswith(f"https://{stack.host}:10001/")
    expect(board).to_have_title("TensorBoard")
    photograph(board, "tensorboard")


def _add_refused(refused: list[str], answer: Response) -> None:
    if answer.status >= 400:
        refused.append(f"{answer.status} {answer.url}")


def run_a_cell(lab: Page) -> None:
    """A new notebook, a cell, its output: works only if WebSockets do."""
    lab.locator('.jp-LauncherCard[data-category="Notebook"]').first.click(timeout=60_000)
    cell = lab.locator(".jp-Notebook .jp-Cell .cm-content").first
    cell.click(timeout=60_000)
    # The kernel is connected.
    expect(lab.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    lab.keyboard.type("import numpy; print('answer', int(numpy.arange(13).sum()) - 36)")
    lab.keyboard.press("Shift+Enter")
    expect(lab.locator(".jp-OutputArea-output").first).to_have_text("answer 42\n", timeout=60_000)


def test_logs_can_be_read_searched_and_followed(
    stack: Stack, vm_a: TestVm, jane: Person, browser_of: OpenBrowser
) -> None:
    made = jane.deploy("talkative")
    assert jane.settled(made["id"])["state"] == "running"
    text = jane.http.get(f"/api/v1/deployments/{made['id']}/logs?tail=50").text
    assert "Jupyter Server" in text
    with jane.http.stream(
        "GET", f"/api/v1/deployments/{made['id']}/logs?tail=1&follow=true"
    ) as following:
        assert next(following.iter_lines())

    page = browser_of("jane")
    page.goto(stack.url)
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Logs").click()
    expect(page.get_by_role("dialog").get_by_text("Jupyter Server").first).to_be_visible()
    photograph(page, "logs")
    page.get_by_label("Search").fill("no such words anywhere")
    page.get_by_label("Search").press("Enter")
    expect(page.get_by_text("No line contains this text.")).to_be_visible()
    page.get_by_label("Search").fill("")
    page.get_by_label("Search").press("Enter")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "talkative.log"
    assert "Jupyter Server" in download.value.path().read_text()


def test_stop_gives_a_clear_page_and_start_brings_the_notebook_back(
    stack: Stack, vm_a: TestVm, jane: Person, browser_of: OpenBrowser
) -> None:
    made = jane.deploy("keeper")
    running = jane.settled(made["id"])
    jupyter = running["urls"]["jupyter"]
    notebook = {
        "type": "notebook",
        "content": {"cells": [], "metadata": {"kept": True}, "nbformat": 4, "nbformat_minor": 5},
    }
    written = jane.http.put(f"{jupyter}api/contents/work/kept.ipynb", json=notebook)
    assert written.is_success, written.text

    page = browser_of("jane")
    page.goto(stack.url)
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Stop …").click()
    photograph(page, "stop")
    page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("You stopped it.")).to_be_visible()
    page.goto(jupyter)
    expect(page.get_by_text("keeper is stopped. Its home folder is kept")).to_be_visible()
    photograph(page, "stopped-port")

    page.goto(stack.url)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("link", name="Open JupyterLab")).to_be_visible(timeout=60_000)
    kept = jane.http.get(f"{jupyter}api/contents/work/kept.ipynb")
    assert kept.json()["content"]["metadata"]["kept"] is True

    first_start = jane.http.get(f"/api/v1/deployments/{made['id']}").json()["started_at"]
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Restart …").click()
    page.get_by_role("dialog").get_by_role("button", name="Restart", exact=True).click()
    expect(page.get_by_role("link", name="Open JupyterLab")).to_have_count(0)
    expect(page.get_by_role("link", name="Open JupyterLab")).to_be_visible(timeout=60_000)
    assert jane.http.get(f"/api/v1/deployments/{made['id']}").json()["started_at"] > first_start


def test_removal_names_what_is_lost_and_the_home_folder_comes_back(
    stack: Stack, vm_a: TestVm, jane: Person, browser_of: OpenBrowser
) -> None:
    made = jane.settled(jane.deploy("first")["id"])
    file = {"type": "file", "format": "text", "content": json.dumps({"precious": 1})}
    assert (
        jane.http.put(
            f"{made['urls']['jupyter']}api/contents/work/precious.json", json=file
        ).status_code
        == 201
    )
    page = browser_of("jane")
    page.goto(stack.url)
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Remove …").click()
    expect(page.get_by_role("dialog").get_by_text("your home folder on vm-a")).to_be_visible()
    photograph(page, "remove")
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("first", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Deploy your first container")).to_be_visible()
    again = jane.settled(jane.deploy("second")["id"])
    assert (
        jane.http.get(f"{again['urls']['jupyter']}api/contents/work/precious.json").status_code
        == 200
    )


@pytest.mark.parametrize("pip", ["pip", "pip3"])
def test_what_a_user_installs_stays_and_cannot_break_the_server(
    stack: Stack, vm_a: TestVm, jane: Person, tmp_path: Path, pip: str
) -> None:
    """An old tornado, which this Jupyter cannot run with.

    Its wheel is made here: the VM has no way to PyPI.
    """
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, OLD_TORNADO],
        check=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    first = jane.settled(jane.deploy("installer")["id"])
    url = f"{first['urls']['jupyter']}api/contents/{wheel.name}"
    content = base64.b64encode(wheel.read_bytes()).decode()
    jane.http.put(
        url, json={"type": "file", "format": "base64", "content": content}
    ).raise_for_status()
    in_container(
        vm_a, first["id"], f"{pip} install --no-deps --no-index --force-reinstall ~/{wheel.name}"
    )
    site = in_container(vm_a, first["id"], "echo $NOTEBOOK_ENV/lib/python3*/site-packages").strip()
    assert site.startswith("/home/scientist/.venv-ml-cpu/")
    shown = in_container(
        vm_a, first["id"], "python -c 'import tornado; print(tornado.version)'"
    ).strip()
    assert shown == OLD_TORNADO.partition("==")[2]
    jane.http.delete(f"/api/v1/deployments/{first['id']}").raise_for_status()
    jane.settled(first["id"])
    again = jane.settled(jane.deploy("installer")["id"])
    assert again["state"] == "running", again["error"]  # the server does not see it
    assert "tornado" in in_container(vm_a, again["id"], f"ls {site}")  # and it is still there
    in_container(vm_a, again["id"], f"{pip} uninstall -y tornado && rm ~/{wheel.name}")


def test_kernels_that_a_user_installs_are_offered_beside_the_images(
    vm_a: TestVm, jane: Person
) -> None:
    made = jane.settled(jane.deploy("kernels")["id"])
    installed = {"argv": ["bash", "-c", "{connection_file}"], "display_name": "Installed"}
    for name in ("bash", "python3"):
        folder = f"$NOTEBOOK_ENV/share/jupyter/kernels/{name}"
        script = f"mkdir -p {folder} && echo '{json.dumps(installed)}' > {folder}/kernel.json"
        in_container(vm_a, made["id"], script)
    found = jane.http.get(f"{made['urls']['jupyter']}api/kernelspecs").json()["kernelspecs"]
    in_container(vm_a, made["id"], "rm -r $NOTEBOOK_ENV/share/jupyter/kernels")
    names = {name: kernel["spec"]["display_name"] for name, kernel in found.items()}
    assert names["bash"] == "Installed"
    assert names["python3"] == "Python 3 (ipykernel)"


def in_container(vm: TestVm, deployment_id: str, script: str) -> str:
    """Run a script in a deployment's container, as a terminal in JupyterLab would."""
    return vm.run("docker", "exec", f"portal-{deployment_id}", "sh", "-c", script)
