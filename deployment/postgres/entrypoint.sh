#!/bin/sh
# Makes the database at the first start, with user and database "portal", and becomes postgres.
set -eu
volume=/var/lib/postgresql/data
export PGDATA="$volume/17" PATH="/usr/lib/postgresql/17/bin:$PATH"

# PostgreSQL reads no files of another major version, and an empty database beside them would look like a loss.
if [ -d "$volume/15" ] && [ ! -d "$PGDATA" ]; then
    echo "The database is PostgreSQL 15's, and this is 17. Nothing was touched. docs/ADMIN_GUIDE.md, \"PostgreSQL 15 to 17\"," \
        "says how to take the records over: a backup, the old files put aside, a restore." >&2
    exit 1
fi

# Made beside and renamed when it is whole: a power cut in between leaves nothing that looks finished.
if [ ! -d "$PGDATA" ]; then
    rm -rf "$volume/new"
    initdb --pgdata="$volume/new" --username=portal --pwfile=/run/secrets/postgres_password --auth-host=scram-sha-256 \
        --auth-local=trust --encoding=UTF8 --locale=C.UTF-8 --data-checksums >/dev/null
    # The line that lets other containers in, with the password only.
    echo "host all all all scram-sha-256" >> "$volume/new/pg_hba.conf"
    echo "CREATE DATABASE portal;" | postgres --single -D "$volume/new" -j postgres >/dev/null
    mv "$volume/new" "$PGDATA"
fi

# A password that was replaced since the last start counts from this one on.
if ! sha256sum --check --status "$volume/password.sha256" 2>/dev/null; then
    # Without what surrounds it, as the services read it.
    password=$(tr -d '\r' </run/secrets/postgres_password | awk 'NF {sub(/^[ \t]+/, ""); sub(/[ \t]+$/, ""); print; exit}')
    if [ -z "$password" ]; then
        echo "The secret postgres_password is empty. Nothing was changed. docs/ADMIN_GUIDE.md says how to make one." >&2
        exit 1
    fi
    quoted=$(printf '%s' "$password" | sed "s/'/''/g")
    said=$(printf '%s\n' "SET standard_conforming_strings = on;" "ALTER ROLE portal PASSWORD '$quoted';" |
        postgres --single -D "$PGDATA" -c log_min_error_statement=panic postgres 2>&1) || true
    case $said in
    *ERROR:* | *FATAL:* | *PANIC:*)
        echo "The database's password could not be changed: $(printf '%s' "$said" | grep -E 'ERROR|FATAL|PANIC' | head -n 1)" >&2
        exit 1
        ;;
    esac
    (umask 077 && sha256sum /run/secrets/postgres_password >"$volume/password.sha256")
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
