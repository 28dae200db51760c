#!/bin/sh
# Boots the "VM": a power cycle is `docker kill` and `docker start`.
set -eu

# Without --privileged (where CAP_SYS_RESOURCE is lacking) these come read-only.
mount -o remount,rw /sys 2>/dev/null || true
for folder in /sys/fs/cgroup /sys/fs/cgroup/*; do
    mount -o remount,bind,rw "$folder" 2>/dev/null || true
done

ssh-keygen -A >/dev/null
mkdir -p /run/sshd /home/portal/.ssh
# The portal's key may forward to the engine's socket and look at the GPUs, nothing else.
printf 'restrict,port-forwarding,command="/usr/local/bin/portal-gate" %s\n' "$PORTAL_PUBLIC_KEY" > /home/portal/.ssh/authorized_keys
chown -R portal:portal /home/portal/.ssh
chmod 700 /home/portal/.ssh
/usr/sbin/sshd -E /var/log/sshd.log

# Stand-in GPUs come as files; which way the engine hands them out is this machine's make.
for tool in ${PORTAL_STANDIN_TOOLS:-}; do ln -sf "/opt/standin/$tool" "/usr/bin/$tool"; done
if [ -n "${PORTAL_STANDIN_CDI:-}" ]; then
    mkdir -p /etc/docker /etc/cdi
    echo '{"features": {"cdi": true}}' > /etc/docker/daemon.json
fi

rm -rf /var/run/docker.pid /var/run/docker # as after a real boot: an old number in a .pid file may be another process by now
# In a subshell that ends at once, so that init adopts it and reaps it when it is killed.
(dockerd --storage-driver=overlay2 > /var/log/dockerd.log 2>&1 &)
exec sleep infinity
