#!/bin/sh
# Writes nginx's configuration from the settings and the secret, checks it, and becomes nginx.
set -eu

# Every listener and connection is a file; dash, the shell here, has ulimit -n.
# shellcheck disable=SC3045
ulimit -n "$(ulimit -Hn)"
: "${PORTAL_PUBLIC_PORT:=8443}" "${PORTAL_USER_PORTS:=10000-10299}"
PROXY_SECRET=$(cat /run/secrets/proxy_secret)
export PORTAL_PUBLIC_PORT PORTAL_USER_PORTS PROXY_SECRET

umask 077
mkdir -p /run/nginx
cd /etc/portal-nginx
# shellcheck disable=SC2016  # the names are for envsubst, which leaves nginx's own variables alone
envsubst '$PORTAL_PUBLIC_PORT $PORTAL_USER_PORTS' < nginx.conf.template > /run/nginx/nginx.conf
# shellcheck disable=SC2016
envsubst '$PROXY_SECRET' < identity.conf.template > /run/nginx/identity.conf
nginx -t -q -c /run/nginx/nginx.conf
exec nginx -c /run/nginx/nginx.conf -g 'daemon off;'
