#!/bin/sh
# The distribution's packages, as root: security updates since the base was published, what packages.txt lists, and what
# is named as an argument.
# The same file in every image's folder (images/shared); a test holds the copies equal.
set -eu
apt-get update
apt-get upgrade -y --no-install-recommends
sed 's/ *#.*//' "$(dirname "$0")/packages.txt" | xargs apt-get install -y --no-install-recommends "$@"
# The package of sshd makes host keys: they must not be in any layer (serve-ssh.sh makes a container's own).
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /etc/ssh/ssh_host_*
