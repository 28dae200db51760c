"""The files administrators get: every setting described with its default, links that lead."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from portal.core.directory import DirectorySettings
from portal.core.settings import Settings
from pydantic.fields import FieldInfo
from support.paths import ROOT

EXAMPLE = (ROOT / "deployment" / ".env.example").read_text(encoding="utf-8")
COMPOSE = [ROOT / "deployment" / name for name in ("docker-compose.yml", "docker-compose.prod.yml")]
SCRIPTS = [
    ROOT / "scripts" / name for name in ("setup-vm.sh", "install-nvidia.sh", "health-check.sh")
]
DECIDED_BY_COMPOSE = {
    "PORTAL_REGISTRY_HOST": "127.0.0.1:5443",
    "PORTAL_REGISTRY_ENDPOINT": "registry:5000",
    "PORTAL_REGISTRY_USERNAME": "portal",
    "PORTAL_ADVISORIES": "./advisories",
}
"""Where the compose files bring a registry and a folder of their own."""
# Not an administrator's to set: the scripts' own ways of being called.
INTERNAL = {"PORTAL_PUBLIC_KEY_FILE", "PORTAL_REGISTRY_CA_FILE", "PORTAL_PART_OF_SETUP"}
PROBLEM_DOCUMENT = {"type", "status", "title", "detail", "code", "message", "hint"}
GUIDES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("deployment/*.md"),
        *ROOT.glob("images/*/*.md"),
    ]
)


def described() -> dict[str, str]:
    return dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_every_setting_of_compose_is_described_with_its_default(path: Path) -> None:
    """Compose's own; those of the services come empty, so that the code's default counts."""
    used = dict(re.findall(r"\$\{([A-Z_]+)(?::-([^}]*))?\}", path.read_text(encoding="utf-8")))
    known = described()
    assert {name: known[name] for name in used if used[name]} == {
        name: default for name, default in used.items() if default
    }
    assert set(used) <= set(known)


def test_every_setting_of_the_services_is_described_with_the_codes_default() -> None:
    ours = settings()
    known = {name: value for name, value in described().items() if name in ours}
    expected = {name: written(ours[name].default) for name in known}
    assert known == expected | DECIDED_BY_COMPOSE


def settings() -> dict[str, FieldInfo]:
    """Of all services."""
    of_directory = DirectorySettings.model_fields.items()
    return {f"PORTAL_{name.upper()}": field for name, field in Settings.model_fields.items()} | {
        f"PORTAL_DIRECTORY_{name.upper()}": field for name, field in of_directory
    }


def written(default: object) -> str:
    """A default as it stands in .env."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default is None else str(default)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_setting_of_the_scripts_is_described(path: Path) -> None:
    used = set(re.findall(r"\bPORTAL_[A-Z_]+\b", path.read_text(encoding="utf-8"))) - INTERNAL
    assert used <= set(described())


def test_every_setting_of_the_services_can_be_set_and_is_described() -> None:
    """Those whose value the compose files decide, because it is a place in a container, aside."""
    text = "".join(path.read_text(encoding="utf-8") for path in COMPOSE)
    decided = {
        "PORTAL_DATABASE_URL",
        "PORTAL_WORKER_URL",
        "PORTAL_IMAGES_DIR",
        "PORTAL_GUIDES_DIR",
        "PORTAL_CRL_DIR",
        "PORTAL_PUBLISH_DIR",
        "PORTAL_BUILD_CERTS_DIR",
        "PORTAL_ADVISORIES",
    }
    names = set(settings())
    open_ones = {name for name in names - decided if not name.endswith("_FILE")}
    assert {name for name in open_ones if f"{name}: ${{{name}:-" not in text} == set()
    assert open_ones <= set(described())


def test_no_setting_is_described_that_nobody_reads() -> None:
    places = [*COMPOSE, *SCRIPTS, *(ROOT / "scripts" / "vm").glob("*.sh")]
    read = "".join(path.read_text(encoding="utf-8") for path in places)
    assert {
        name for name in described() if name.startswith("PORTAL_") and name not in read
    } == set()


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_in_guides_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"https?://|mailto:", target):
            continue
        file, _, section = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if section:
            assert section in anchors(there), target


def anchors(path: Path) -> set[str]:
    """Sections of a guide, as GitHub names them, and those that are named by hand."""
    text = path.read_text(encoding="utf-8")
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads} | set(
        re.findall(r'<a id="([^"]+)"></a>', text)
    )


def test_the_pictures_of_the_guides_are_taken_by_browser_tests() -> None:
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "system").glob("test_*.py")
    )
    taken = set(re.findall(r'photograph\(\w+, "([^"]+)"\)', tests))
    shown = {
        Path(name).stem
        for path in GUIDES
        for name in re.findall(r"\]\((screenshots/[^)]+)\)", path.read_text(encoding="utf-8"))
    }
    assert shown and shown <= taken


def test_the_key_to_the_engines_is_the_workers_alone() -> None:
    text = re.sub(r"!\w+", "", COMPOSE[0].read_text(encoding="utf-8"))
    services = yaml.safe_load(text)["services"]
    holders = {
        name for name, service in services.items() if "ssh_key" in service.get("secrets", ())
    }
    assert holders == {"worker"}


def test_every_invariant_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", page, re.MULTILINE)
    assert [number for number, _ in rows] == [str(n) for n in range(1, 12)]
    for number, shown in rows:
        names = re.findall(r"`([^`]+)`", shown)
        assert names, number
        for name in names:
            file, _, test = name.partition("::")
            text = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert not test or f"def {test}(" in text, name


def test_every_file_that_the_map_names_is_there() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([a-z_/]+\.py)`", page.partition("## Where is")[2]):
        matching = [ROOT / name, *ROOT.glob(f"streamlit-service/**/{name}")]
        assert any(path.exists() for path in matching), name


def test_a_health_check_may_hold_for_as_long_as_it_does() -> None:
    script = (ROOT / "deployment" / "healthy.sh").read_text(encoding="utf-8")
    hold = re.search(r"^hold_s=(\d+)$", script, re.MULTILINE)
    limits = [int(s) for path in COMPOSE for s in re.findall(r"timeout: (\d+)s", path.read_text())]
    assert hold is not None
    assert len(limits) == len(COMPOSE)
    assert int(hold[1]) + 5 < min(limits)


def test_every_refusal_of_the_gateway_is_a_page_and_a_problem_document() -> None:
    pages = ROOT / "deployment/nginx/pages"
    documents = {path.stem: json.loads(path.read_text()) for path in pages.glob("*.json")}
    assert {path.stem for path in pages.glob("*.html")} - {
        "head",
        "left-alone",
        "signed-out",
    } == set(documents)
    for document in documents.values():
        assert set(document) == PROBLEM_DOCUMENT
        assert (document["title"], document["detail"]) == (document["message"], document["hint"])
