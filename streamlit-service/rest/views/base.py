"""What every body of a request has in common."""

from datetime import datetime
from typing import Annotated

from portal.users.usage import FIRST, LAST
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, field_validator


def _of_our_time(moment: datetime) -> datetime:
    """Whatever its zone: what is added to it, or stored in UTC, is a date still."""
    if not FIRST <= moment <= LAST:
        raise ValueError(f"must lie between {FIRST.year} and {LAST.year}")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_of_our_time)]


class Body(BaseModel):
    """Nothing unknown in it, and only text that a database can hold."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _storable(cls, value: object) -> object:
        if isinstance(value, str) and not storable(value):
            raise ValueError("contains characters that are not text")
        return value


def storable(text: str) -> bool:
    """Whether it has no NUL (PostgreSQL refuses it) and no lone surrogate (it is not Unicode)."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
