"""The images folder: descriptions, Dockerfiles, READMEs and shared files say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from portal.core import catalog
from portal.core.catalog import Image
from portal.core.errors import Invalid
from portal.images.report import load_waivers
from support import paths

ROOT = paths.ROOT / "images"
IMAGES = catalog.load(ROOT)
EACH = pytest.mark.parametrize("image", IMAGES.values(), ids=list(IMAGES))


def test_the_four_promised_images_are_there() -> None:
    assert set(IMAGES) == {"gpu-jupyter", "gpu-pytorch", "gpu-tensorflow", "ml-cpu"}


@EACH
def test_what_images_share_is_the_same_in_each_folder(image: Image) -> None:
    shared = {path.name: path.read_bytes() for path in (ROOT / "shared").iterdir()}
    copies = {path.name: path.read_bytes() for path in (ROOT / image.name / "shared").iterdir()}
    assert copies == shared, "run `make share`"


@EACH
def test_dockerfiles_begin_with_the_pinned_base_and_carry_the_labels(image: Image) -> None:
    for build in image.builds:
        text = (ROOT / image.name / build.dockerfile).read_text()
        assert f"\nARG BASE_IMAGE={build.base}\n" in text
        assert f'org.container-portal.image="{image.name}"' in text
        for port in image.ports:
            assert re.search(rf"^EXPOSE .*\b{port}\b", text, re.MULTILINE)
        assert "\nUSER 1000:1000\n" in text
        assert "\nHEALTHCHECK " in text
        assert text.count("FROM ${BASE_IMAGE}") == 2


@EACH
def test_locks_are_pinned_by_hash_and_name_no_index(image: Image) -> None:
    for lock in (ROOT / image.name).glob("requirements*.txt"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert (ROOT / image.name / lock.name.replace(".txt", ".in")).exists()


@EACH
def test_the_readme_tells_what_image_yaml_says(image: Image) -> None:
    text = (ROOT / image.name / "README.md").read_text()
    for build in image.builds:
        assert build.base in text
        assert f"{build.size_budget_mb / 1000:g} GB" in text
    for shown in image.packages.values():
        assert shown in text
    for port, service in image.ports.items():
        assert f"| {port} |" in text and service in text
    assert str(image.end_of_life) in text
    assert image.example.strip() in text
    assert image.min_driver in text
    assert f"docker build -t ghcr.io/your-org/{image.name}:latest ." in text


def test_the_reviewed_waivers_can_be_read() -> None:
    load_waivers(ROOT / "waivers.yaml")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("base: python:3.11-slim@sha256:", "base: python:3.11-slim #"), "builds.0"),
        (("version: 1", "version: v1"), "version"),
        (("gpu: false", "gpu: false\nfast: true"), "fast"),
        (("name: ml-cpu", "name: other"), "other"),
        (("title: Machine", "title: [Machine"), "cannot be read"),
    ],
)
def test_a_bad_description_is_refused_by_file_and_field(
    tmp_path: Path, change: tuple[str, str], field: str
) -> None:
    folder = tmp_path / "ml-cpu"
    folder.mkdir()
    text = (ROOT / "ml-cpu" / "image.yaml").read_text()
    (folder / "image.yaml").write_text(text.replace(*change))
    with pytest.raises(Invalid, match=re.escape(field)) as refused:
        catalog.load(tmp_path)
    assert "ml-cpu/image.yaml" in refused.value.message


def test_an_empty_folder_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no \*/image.yaml"):
        catalog.load(tmp_path)
