"""Settings of the service that sends the audit trail to the organisation's rsyslog."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class OffloadSettings(BaseSettings):
    """PORTAL_OFFLOAD_…; where `to` is empty nothing is sent."""

    model_config = SettingsConfigDict(env_prefix="PORTAL_OFFLOAD_", env_ignore_empty=True)

    to: str = Field(
        "",
        pattern=r"^$|^[A-Za-z0-9._-]+:\d{1,5}$|^\[[0-9A-Fa-f:.]+\]:\d{1,5}$",
        description="the collector's name and RELP port, with TLS: log.corp.example:2514",
    )
    name: str = Field("", description="in its certificate, where that is another than in `to`")
    ca_file: Path | None = Field(
        None, description="who vouches for the collector; empty: whom the system trusts"
    )
    cert_file: Path | None = Field(None, description="the portal's certificate for the collector")
    key_file: Path | None = Field(None, description="and its key")
    timeout_s: float = Field(10, gt=0, le=300, description="deadline of each answer")
    cursor_file: Path = Path("/var/lib/portal-offload/cursor")
