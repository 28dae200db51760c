"""Who calls, and with what the routes work: the dependencies of every route."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from auth import Authenticator, origin_of
from fastapi import Depends, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from portal import users
from portal.context import Portal
from portal.core.errors import Forbidden
from portal.core.people import Scope, User
from portal.users import consent, permissions, service_accounts
from worker_client import WorkerClient

NUL = "\0"
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
OF_ONESELF = {"/api/v1/me/sessions", "/api/v1/me/consent"}
"""What even auditors change: that they are here."""


@dataclass(frozen=True)
class Services:
    """What bootstrap made for this process."""

    portal: Portal
    authenticator: Authenticator
    worker: WorkerClient


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Wired = Annotated[Services, Depends(_services)]


def _product(services: Wired) -> Portal:
    return services.portal


def _caller(request: Request, services: Wired) -> User:
    known: User | None = getattr(request.state, "caller", None)
    if known is not None:  # of this request: see Guarded
        return known
    _check_same_origin(request, services.portal.settings.origins)
    identity = services.authenticator.authenticate(request.headers)
    request.state.identity = identity
    user = users.user_of(services.portal, identity, origin_of(request.headers))
    if user.is_service:
        _check_scope(user, request)
    if request.url.path not in OF_ONESELF:
        consent.check(services.portal, user, identity)
    if request.method in UNSAFE and request.url.path not in OF_ONESELF:
        permissions.check_may_act(user)
    request.state.caller = user
    return user


def _check_scope(user: User, request: Request) -> None:
    """A program reads what users may, or has containers of its own; nothing else."""
    if request.method not in UNSAFE:
        service_accounts.check_scope(user, Scope.READ)
    elif request.url.path.startswith("/api/v1/deployments"):
        service_accounts.check_scope(user, Scope.DEPLOY)
    else:
        service_accounts.check_person(user)


def _own_pages(request: Request, services: Wired) -> None:
    _check_own_pages(request, services.portal.settings.origins)


OWN_PAGES = Depends(_own_pages)
"""Of a route that records something although it only reads."""
Product = Annotated[Portal, Depends(_product)]
Caller = Annotated[User, Depends(_caller)]


def _administrator(user: Caller) -> User:
    permissions.administrator(user)
    return user


Administrator = Annotated[User, Depends(_administrator)]


def _reader(user: Caller) -> User:
    permissions.reader(user)
    return user


Reader = Annotated[User, Depends(_reader)]
"""An administrator or auditor."""


def _catalogue_reader(user: Caller) -> User:
    permissions.catalogue_reader(user)
    return user


CatalogueReader = Annotated[User, Depends(_catalogue_reader)]
"""An image curator, administrator or auditor."""


def _curator(user: Caller) -> User:
    permissions.curator(user)
    return user


Curator = Annotated[User, Depends(_curator)]


def _lead(user: Caller, request: Request) -> User:
    permissions.check_leads(user, request.path_params["group"])
    return user


Lead = Annotated[User, Depends(_lead)]
"""Of the group that the path names, or an administrator."""


def _group_reader(user: Caller, request: Request) -> User:
    permissions.check_sees_group(user, request.path_params["group"])
    return user


GroupReader = Annotated[User, Depends(_group_reader)]
"""As Lead, or an auditor."""
_CHECKS: dict[object, Callable[[User, Request], object]] = {
    _administrator: lambda user, _: permissions.administrator(user),
    _reader: lambda user, _: permissions.reader(user),
    _curator: lambda user, _: permissions.curator(user),
    _catalogue_reader: lambda user, _: permissions.catalogue_reader(user),
    _lead: _lead,
    _group_reader: _group_reader,
}


class Guarded(APIRoute):
    """Who asks, and whether they may, is known before a word of what they sent is looked at.

    FastAPI reads the body first: strangers would learn what is wrong with theirs.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's, behind the checks that the route's dependencies name."""
        handle = super().get_route_handler()
        calls = {each.call for each in self.dependant.dependencies}
        checks = [check for call, check in _CHECKS.items() if call in calls]

        def guard(request: Request) -> None:
            user = _caller(request, _services(request))
            for check in checks:
                check(user, request)

        async def guarded(request: Request) -> Response:
            if checks or _caller in calls:
                await run_in_threadpool(guard, request)
            return await handle(request)

        return guarded


def has_storable_address(request: Request) -> None:
    """A database holds no NUL: nothing is named so."""
    values = (request.url.path, *request.path_params.values(), *request.query_params.values())
    if any(NUL in str(value) for value in values):
        raise HTTPException(404)


def _check_same_origin(request: Request, origins: Sequence[str]) -> None:
    """Cards sign in for every site: a change must come from our own pages or no browser."""
    if request.method in UNSAFE:
        _check_own_pages(request, origins)


def _check_own_pages(request: Request, origins: Sequence[str]) -> None:
    """Raise Forbidden for what another site's page made a browser ask for."""
    given, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "none")
    if (given is not None and given not in origins) or site not in ("same-origin", "none"):
        raise Forbidden(
            "foreign_origin",
            "The request came from another site's page.",
            "Use the portal's own pages.",
        )
