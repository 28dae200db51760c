"""What every body of a request has in common."""

from pydantic import BaseModel, ConfigDict, field_validator


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
