"""What can go wrong, in two forms: a message and hint for the person, a cause for the operator."""

from __future__ import annotations


class PortalError(Exception):
    """A refusal or failure that a person can understand and act on.

    `code` is stable and machine-readable; `message` says what happened and why, `hint` what to
    do next; `cause` is for operators and never shown to users. `status` is the HTTP status.
    """

    status = 500

    def __init__(self, code: str, message: str, hint: str = "", cause: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.cause = cause


class NotAuthenticated(PortalError):
    """The certificate does not prove who this is."""

    status = 401


class Forbidden(PortalError):
    """The person is known and may not do this."""

    status = 403


class NotFound(PortalError):
    """No such thing, or none that this person may see (the two look alike on purpose)."""

    status = 404


class Conflict(PortalError):
    """The thing exists but is in a state in which this cannot be done."""

    status = 409


class Invalid(PortalError):
    """The request itself cannot be meant: out of range, malformed, unknown."""

    status = 422


class NoCapacity(PortalError):
    """Allowed, but there is no room for it."""

    status = 409


class EngineError(PortalError):
    """An engine, its VM or its registry failed."""

    status = 502


class VmUnreachable(EngineError):
    """The VM does not answer in time, or refuses SSH."""


class Unavailable(PortalError):
    """What is behind the portal does not answer just now."""

    status = 503


class DatabaseTrouble(Unavailable):
    """The database is busy, full, read-only or away. Nothing was written."""


class LockLost(Exception):
    """Somebody else changed the deployment meanwhile, or another worker leads; drop the work."""
