"""What was found in a built image, and what the policy says of it. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portal.core.errors import Invalid


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kind(enum.StrEnum):
    """What a finding is about; each is refused for its own reason."""

    VULNERABILITY = "vulnerability"
    END_OF_LIFE = "end_of_life"
    SECRET = "secret"  # noqa: S105  (the name of a kind)
    SETUID = "setuid"
    ROOT_USER = "root_user"
    LABEL = "label"
    SIZE = "size"
    STANDIN_BASE = "standin_base"
    STANDIN_DATA = "standin_data"
    STALE_DATA = "stale_data"


class Severity(enum.StrEnum):
    """How bad a vulnerability is. Without a rating it counts as high: it may be."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"


WAIVED_DAYS = 366
REFUSED_WHEN_FIXABLE = {Severity.CRITICAL, Severity.HIGH, Severity.UNKNOWN}
ONLY_IN_A_DEMO = {Kind.STANDIN_BASE, Kind.STANDIN_DATA}


class Finding(_Value):
    """One thing found. `id` names it (a CVE, a rule), `subject` is where (a package, a file)."""

    kind: Kind
    id: str
    subject: str = ""
    severity: Severity = Severity.UNKNOWN
    installed: str = ""
    fixed: str = ""
    text: str = ""


class Scanner(_Value):
    """What scanned, and how old its knowledge was. `standin`: made-up data for demonstrations."""

    name: str
    version: str
    data_date: datetime
    standin: bool = False


class Waiver(_Value):
    """A finding that is accepted for a while. In the reviewed file images/waivers.yaml.

    With an end more than WAIVED_DAYS ahead it does not count: what is accepted is looked at again.
    """

    image: str
    finding: str = Field(min_length=1, description="a finding's id")
    subject: str = ""
    owner: str = Field(min_length=1)
    reason: str = Field(min_length=10)
    expires: date

    def is_about(self, image: str, finding: Finding) -> bool:
        """Whether it names this finding."""
        return (self.image, self.finding) == (image, finding.id) and self.subject in (
            "",
            finding.subject,
        )

    def why_not(self, today: date) -> str:
        """Why it does not count today; "" when it does."""
        if today > self.expires:
            return f"it ended on {self.expires}"
        if self.expires - today > timedelta(days=WAIVED_DAYS):
            return f"it ends on {self.expires}, more than {WAIVED_DAYS} days ahead"
        return ""


class Accepted(_Value):
    """A finding with the waiver that lets it pass."""

    finding: Finding
    waiver: Waiver


class Report(_Value):
    """Everything found in an image, by whom and when, and the policy's word on it."""

    image: str
    scanned_at: datetime
    scanners: tuple[Scanner, ...]
    findings: tuple[Finding, ...]
    refused: tuple[Finding, ...] = ()
    accepted: tuple[Accepted, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is left that the policy refuses."""
        return not self.refused


def apply_policy(report: Report, waivers: Sequence[Waiver], *, allow_standins: bool) -> Report:
    """The report with the policy's word."""
    today = report.scanned_at.date()
    refused: list[Finding] = []
    accepted: list[Accepted] = []
    for finding in report.findings:
        if not _refused(finding, allow_standins=allow_standins):
            continue
        about = (waiver for waiver in waivers if waiver.is_about(report.image, finding))
        waiver = next((waiver for waiver in about if not waiver.why_not(today)), None)
        if waiver is None:
            refused.append(finding)
        else:
            accepted.append(Accepted(finding=finding, waiver=waiver))
    return report.model_copy(update={"refused": tuple(refused), "accepted": tuple(accepted)})


def idle_waivers(report: Report, waivers: Sequence[Waiver]) -> list[str]:
    """Those for the image that let nothing pass, each with why."""
    today, used = report.scanned_at.date(), [each.waiver for each in report.accepted]
    idle = [each for each in waivers if each.image == report.image and each not in used]
    return [
        f"the waiver of {each.owner} for {each.finding}"
        f"{f' in {each.subject}' if each.subject else ''} does not count:"
        f" {each.why_not(today) or 'no refused finding has this id'}"
        for each in idle
    ]


def _refused(finding: Finding, *, allow_standins: bool) -> bool:
    if finding.kind in ONLY_IN_A_DEMO:
        return not allow_standins
    if finding.kind is Kind.VULNERABILITY:
        return bool(finding.fixed) and finding.severity in REFUSED_WHEN_FIXABLE
    return True


def load_waivers(path: Path) -> tuple[Waiver, ...]:
    """The reviewed file's waivers; none where there is no file.

    Raises Invalid saying what is wrong.
    """
    if not path.exists():
        return ()
    try:
        entries = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("waivers") or []
        return tuple(Waiver.model_validate(entry) for entry in entries)
    except (yaml.YAMLError, AttributeError, TypeError, ValidationError) as error:
        raise Invalid(
            "bad_waivers",
            f"{path} cannot be used: {error}",
            "Each waiver needs image, finding, owner, reason (ten characters or more) and expires.",
        ) from error
