#!/bin/sh
# As `first-boot init`: what the container lacks to be booted like a machine; then systemd. As a unit: host keys.
set -eu
if [ "${1:-}" = init ]; then
    # Without --privileged (sandboxes that lack CAP_SYS_RESOURCE) these come read-only.
    mount -o remount,rw /sys 2>/dev/null || true
    for folder in /sys/fs/cgroup /sys/fs/cgroup/*; do
        mount -o remount,bind,rw "$folder" 2>/dev/null || true
    done
    mount -o remount,rw /proc/sys 2>/dev/null || true
    install -d -o ray -g ray -m 0700 /home/ray/.ssh
    printf '%s\n' "$ADMIN_KEY" > /home/ray/.ssh/authorized_keys
    # The argument is read where a kernel's command line would be: systemd of Debian 13 on the old cgroups.
    exec /lib/systemd/systemd SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
fi
ssh-keygen -A
