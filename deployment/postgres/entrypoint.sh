#!/bin/sh
# Makes the database at the first start, with user and database "portal", and becomes postgres.
set -eu
export PGDATA=/var/lib/postgresql/data PATH="/usr/lib/postgresql/15/bin:$PATH"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=portal --pwfile=/run/secrets/postgres_password --auth-host=scram-sha-256 --auth-local=trust \
        --encoding=UTF8 --locale=C.UTF-8 --data-checksums >/dev/null
    # The line that lets other containers in, with the password only.
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE portal;" | postgres --single -j postgres >/dev/null
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
