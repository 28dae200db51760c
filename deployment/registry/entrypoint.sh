#!/bin/bash
# The password comes as a secret file; the registry wants it hashed. It never is an argument.
set -eu
umask 077
htpasswd -iBn "${PORTAL_REGISTRY_USERNAME:-portal}" < /run/secrets/registry_password > /tmp/htpasswd
# What it says before it has read its configuration is text; where compose mounts as_json.pl, it becomes JSON.
[ ! -r /usr/local/bin/as_json ] || exec 2> >(perl -w /usr/local/bin/as_json registry info)
exec docker-registry serve /etc/docker/registry/config.yml
