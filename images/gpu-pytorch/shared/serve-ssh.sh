#!/bin/bash
# sshd on port 22 as the container's only user, without any privilege. Started by start.sh when PORTAL_SSH_KEYS holds
# public keys, one a line: those of the deployment's owner, and nobody else's.
# The same file in every image's folder (images/shared); a test holds the copies equal.
set -euo pipefail

run=/tmp/portal-ssh
install -d -m 0700 "$run"
printf '%s\n' "$PORTAL_SSH_KEYS" > "$run/authorized_keys"

# The host key stays in the home folder: who connected once is not warned at every new container. One that is cut short
# is made anew; where the folder takes none (full, or no folder), one in /tmp serves until the container is removed.
kept=$HOME/.portal
key=$kept/ssh_host_ed25519_key
is_key() { [ -f "$1" ] && ssh-keygen -y -P '' -f "$1" > /dev/null 2>&1; }
new_key() {
    local made
    made=$(mktemp -d "$1/new.XXXXXX") || return
    ssh-keygen -q -t ed25519 -N '' -C "$(hostname)" -f "$made/key" \
        && rm -rf "$key" && mv "$made/key.pub" "$key.pub" && mv "$made/key" "$key"
    local result=$?
    rm -rf "$made"
    return "$result"
}
chmod 0600 "$key" 2> /dev/null || true # ssh-keygen reads no key that others can
if ! is_key "$key" && ! { install -d -m 0700 "$kept" && new_key "$kept" && is_key "$key"; }; then
    echo "The SSH host key cannot be saved in $kept: clients will warn of a changed key in each new container." >&2
    key=$run/ssh_host_ed25519_key
    is_key "$key" || new_key "$run"
fi
echo "SSH host key: $(ssh-keygen -lf "$key")"

# An SSH session does not inherit the container's environment: hand on what is no secret. sshd takes the first SetEnv
# line only, and a value must have neither quotes nor line ends.
handed=
while IFS='=' read -r -d '' name value; do
    case $name in PORTAL_* | PWD | OLDPWD | SHLVL | _ | HOME | USER | LOGNAME | SHELL | TERM) continue ;; esac
    case $value in *[\"\\]* | *$'\n'*) continue ;; esac
    handed+=" \"$name=$value\""
done < <(env -0)

cat > "$run/sshd_config" <<CONFIG
Port 22
HostKey $key
AuthorizedKeysFile $run/authorized_keys
AuthenticationMethods publickey
KbdInteractiveAuthentication no
PasswordAuthentication no
UsePAM no
PidFile none
StrictModes no
PermitRootLogin no
AllowUsers scientist
PrintMotd no
ClientAliveInterval 30
Subsystem sftp internal-sftp
SetEnv$handed
CONFIG
exec /usr/sbin/sshd -D -e -f "$run/sshd_config"
