#!/bin/sh
# Writes nginx's configuration from the settings and the secret, checks it, and becomes nginx. Beside it, a loop
# follows the addresses of api and ui: nginx itself asks for a name only when it starts.
set -eu

# Every listener and connection is a file; dash, the shell here, has ulimit -n.
# shellcheck disable=SC3045
ulimit -n "$(ulimit -Hn)"
: "${PORTAL_PUBLIC_PORT:=8443}" "${PORTAL_USER_PORTS:=10000-10299}"
PROXY_SECRET=$(cat /run/secrets/proxy_secret)
CONNECTIONS=$((${PORTAL_USER_PORTS#*-} - ${PORTAL_USER_PORTS%-*} + 8192))
WORKERS=$(nproc)
[ "$WORKERS" -le 16 ] || WORKERS=16
export PORTAL_PUBLIC_PORT PORTAL_USER_PORTS PROXY_SECRET CONNECTIONS WORKERS

umask 077
mkdir -p /run/nginx
cd /etc/portal-nginx

# upstream NAME PORT: all replicas there are now. With a certificate always to the same page, so that its session
# is there. A name that does not resolve right now leaves nginx to say so.
servers() {
    found=$(getent ahostsv4 "$1" | awk '{print $1}' | sort -u)
    for address in ${found:-$1}; do echo "    server $address:$2 max_fails=1 fail_timeout=1s;"; done
}
upstreams() {
    printf 'upstream api {\n%s\n    keepalive 32;\n}\n' "$(servers api 8000)"
    # shellcheck disable=SC2016  # nginx's variable
    printf 'upstream ui {\n    hash $ssl_client_fingerprint consistent;\n%s\n    keepalive 32;\n}\n' "$(servers ui 8501)"
}
follow() {
    seen=
    while sleep 2; do
        # One small process while nothing changes.
        names=$(exec getent ahostsv4 api ui) || true
        [ "$names" != "$seen" ] || continue
        now=$(upstreams)
        case $now in *"server api:"* | *"server ui:"*) continue ;; esac # a name does not resolve right now
        if [ "$now" = "$(cat upstreams.conf)" ]; then
            seen=$names
            continue
        fi
        # Whatever fails, the loop goes on, with the file that nginx has read: then it is tried again.
        cp upstreams.conf upstreams.old || continue
        printf '%s\n' "$now" > upstreams.conf || true # half of it: nginx -t says no
        if ! nginx -t -q -c /run/nginx/nginx.conf || ! nginx -s reload -c /run/nginx/nginx.conf; then
            mv upstreams.old upstreams.conf || true
        fi
    done
}

# shellcheck disable=SC2016  # the names are for envsubst, which leaves nginx's own variables alone
envsubst '$PORTAL_PUBLIC_PORT $PORTAL_USER_PORTS $CONNECTIONS $WORKERS' < nginx.conf.template > /run/nginx/nginx.conf
# shellcheck disable=SC2016
envsubst '$PROXY_SECRET' < identity.conf.template > /run/nginx/identity.conf
upstreams > /run/nginx/upstreams.conf
nginx -t -q -c /run/nginx/nginx.conf
(cd /run/nginx && follow) &
exec nginx -c /run/nginx/nginx.conf -g 'daemon off;'
