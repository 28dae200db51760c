"""Publishing steps that need other hardware: the build engine here is a stand-in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from portal.context import Portal
from portal.core.errors import Conflict
from portal.core.settings import Settings
from portal.images.report import Finding, Kind, Report, Severity
from publishing import container_tests, contents, pipeline
from publishing.sbom import Packages
from publishing.workspace import Refused, Workspace
from support.samples import image, report

GOOD_LABELS = {f"org.opencontainers.image.{name}": "x" for name in contents.NEEDED_LABELS} | {
    "org.opencontainers.image.title": "gpu",
    "org.opencontainers.image.version": "1.0.0",
    "org.container-portal.image": "gpu",
}


class Engine:
    """STAND-IN for a build engine, with or without a GPU; what runs in it answers as told."""

    def __init__(
        self, runtimes: tuple[str, ...] = (), answer: tuple[int, bytes] = (0, b"")
    ) -> None:
        self.made: list[dict[str, Any]] = []
        self.removed = 0
        self._box = SimpleNamespace(
            start=lambda: None, remove=self._remove, exec_run=lambda command: answer
        )
        self.containers = SimpleNamespace(create=self._create)
        self.info = lambda: {"Runtimes": dict.fromkeys(runtimes)}

    def _create(self, **arguments: Any) -> SimpleNamespace:
        self.made.append(arguments)
        return self._box

    def _remove(self, **_: object) -> None:
        self.removed += 1


def workspace(settings: Settings, engine: Engine, tmp_path: Path, **changes: Any) -> Workspace:
    described = image("gpu", gpu=True, gpu_check="import torch", cuda="12.2", **changes)
    made = Workspace(
        settings.model_copy(update={"images_dir": tmp_path, "publish_dir": tmp_path / "work"}),
        described,
        described.builds[0],
        "1.0.0",
        lambda text: None,
    )
    made.__dict__["engine"] = engine
    return made


def spec() -> Any:
    return container_tests._spec("test", "image", "token", "keys")


def test_where_there_is_a_gpu_the_framework_must_see_it(settings: Settings, tmp_path: Path) -> None:
    engine = Engine(("nvidia", "runc"), (0, b"seen"))
    assert container_tests._gpu(workspace(settings, engine, tmp_path), spec()) == "seen"
    [made] = engine.made
    assert made["device_requests"][0]["Count"] == -1
    assert (made["read_only"], made["cap_drop"], engine.removed) == (True, ["ALL"], 1)


def test_a_framework_that_does_not_see_the_gpu_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    engine = Engine(("nvidia",), (1, b"AssertionError"))
    with pytest.raises(Refused, match="AssertionError"):
        container_tests._gpu(workspace(settings, engine, tmp_path), spec())
    assert engine.removed == 1


def test_without_a_gpu_it_says_that_it_was_not_tested(settings: Settings, tmp_path: Path) -> None:
    assert (
        container_tests._gpu(workspace(settings, Engine(), tmp_path), spec())
        == container_tests.NO_GPU
    )


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"User": "1000:1000", "Labels": GOOD_LABELS, "Env": ["CUDA_VERSION=12.2.2"]}, set()),
        ({"User": "", "Labels": GOOD_LABELS, "Env": ["CUDA_VERSION=12.2.2"]}, {"root-user"}),
        ({"User": "root", "Labels": GOOD_LABELS, "Env": ["CUDA_VERSION=12.2.2"]}, {"root-user"}),
        ({"User": "1000", "Labels": GOOD_LABELS, "Env": ["CUDA_VERSION=11.8.0"]}, {"cuda-differs"}),
        ({"User": "1000", "Labels": GOOD_LABELS, "Env": []}, {"cuda-differs"}),
        (
            {
                "User": "1000",
                "Labels": {**GOOD_LABELS, "org.container-portal.standin": "true"},
                "Env": ["CUDA_VERSION=12.2.2"],
            },
            {"standin-base"},
        ),
        (
            {
                "User": "1000",
                "Labels": {**GOOD_LABELS, "org.opencontainers.image.version": "0.9"},
                "Env": ["CUDA_VERSION=12.2.2"],
            },
            {"label-differs"},
        ),
        (
            {"User": "1000", "Labels": None, "Env": ["CUDA_VERSION=12.2.2", "API_KEY=abc"]},
            {
                "label-differs",
                "secret-in-environment",
                *(f"label-{name}" for name in contents.NEEDED_LABELS),
            },
        ),
    ],
)
def test_what_the_configuration_says(
    settings: Settings, tmp_path: Path, config: dict[str, Any], found: set[str]
) -> None:
    findings = contents.examine(workspace(settings, Engine(), tmp_path), config, 10)
    assert {finding.id for finding in findings} == found


def test_an_image_over_its_budget(settings: Settings, tmp_path: Path) -> None:
    config = {"User": "1000", "Labels": GOOD_LABELS, "Env": ["CUDA_VERSION=12.2.2"]}
    [finding] = contents.examine(workspace(settings, Engine(), tmp_path), config, 901 * 10**6)
    assert finding.kind is Kind.SIZE


def test_the_same_files_are_the_same_content_whatever_the_places_own_authority(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "gpu"
    (folder / "certs").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM x")
    made = workspace(settings, Engine(), tmp_path).content
    (folder / "certs" / "enterprise.crt").write_text("x")
    assert workspace(settings, Engine(), tmp_path).content == made
    (folder / "Dockerfile").write_text("FROM y")
    assert workspace(settings, Engine(), tmp_path).content != made


def test_a_step_that_needs_another_says_which(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workspace, "work", tmp_path)
    with pytest.raises(Conflict, match="no sbom result yet"):
        workspace(settings, Engine(), tmp_path).needed("packages", Packages, "sbom")


def test_several_copies_of_a_package_are_all_named() -> None:
    packages = Packages(python={"packaging": ("26.0", "26.3")}, system={"openssl": ("3.0",)})
    assert packages.all() == {"packaging": "26.0, 26.3", "deb:openssl": "3.0"}
    assert image(packages={"packaging": "packaging"}).highlights(packages.all()) == (
        "packaging 26.3",
    )


UPDATE = Finding(kind=Kind.VULNERABILITY, id="s:pam", subject="pam", installed="1", fixed="2")
OF_PYTHON = UPDATE.model_copy(update={"subject": "numpy", "severity": Severity.CRITICAL})
A_SECRET = Finding(kind=Kind.SECRET, id="key", subject="/x")


@pytest.mark.parametrize(
    ("first", "then", "builds"),
    [
        ([], [], [False]),
        ([UPDATE], [], [False, True]),
        ([UPDATE], [UPDATE], [False, True]),
        ([UPDATE, OF_PYTHON], [], [False]),
        ([UPDATE, A_SECRET], [], [False]),
        ([A_SECRET], [], [False]),
    ],
)
def test_cached_layers_without_security_updates_are_built_anew_once(
    portal: Portal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: list[Finding],
    then: list[Finding],
    builds: list[bool],
) -> None:
    """The steps around are stand-ins; which of them are done, and how, is the pipeline's."""
    done: list[bool] = []
    packages = Packages(python={"numpy": ("1",)}, system={"pam": ("1",)})

    def built(_: Portal, workspace: Workspace) -> Workspace:
        done.append(workspace.fresh)
        return workspace

    def scanned(*_: object, **__: object) -> Report:
        return report(portal.now(), *(then if done[-1] else first))

    for name, stand_in in {"build": built, "scan": scanned}.items():
        monkeypatch.setattr(pipeline, name, stand_in)
    for name in ("test", "materials"):
        monkeypatch.setattr(pipeline, name, lambda _: packages)
    start = workspace(portal.settings, Engine(), tmp_path)
    if first and (then or len(builds) == 1):
        with pytest.raises(Refused):
            pipeline._checked(portal, start, 1)
    else:
        assert pipeline._checked(portal, start, 1)[2].passed
    assert done == builds
