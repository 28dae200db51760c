"""Command line entry for administrators; cli/ has one file a noun."""

from __future__ import annotations

import bootstrap
import typer
from cli import (
    announcements,
    audit,
    backup,
    crl,
    deployments,
    groups,
    health,
    images,
    quotas,
    services,
    users,
    vms,
)
from cli.common import wired
from portal.core.errors import PortalError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Administer the Container Portal."
)
NOUNS = {
    "vm": vms.app,
    "deployment": deployments.app,
    "image": images.app,
    "user": users.app,
    "group": groups.app,
    "service": services.app,
    "quota": quotas.app,
    "audit": audit.app,
    "announcement": announcements.app,
    "crl": crl.app,
}
for name, noun in NOUNS.items():
    app.add_typer(noun, name=name)
app.command("backup")(backup.make)
app.command("restore")(backup.restore)
app.command("health")(health.check)


@app.command()
def init() -> None:
    """Create the database, or bring it to the newest schema."""
    wired().database.migrate()
    typer.echo("The database is ready.")


def main() -> None:
    """Run; a PortalError becomes two lines and exit code 1, never a traceback."""
    bootstrap.configure_logging(service=False)
    try:
        app()
    except PortalError as error:
        typer.echo(f"{error.message}\n{error.hint}", err=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
