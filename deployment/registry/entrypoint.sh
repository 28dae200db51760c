#!/bin/sh
# The password comes as a secret file; the registry wants it hashed. It never is an argument.
set -eu
umask 077
htpasswd -iBn "${PORTAL_REGISTRY_USERNAME:-portal}" < /run/secrets/registry_password > /tmp/htpasswd
exec docker-registry serve /etc/docker/registry/config.yml
