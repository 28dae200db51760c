# shellcheck shell=bash
# The host keys of the VMs that the worker believes: $PORTAL_SECRETS/ssh_known_hosts. Sourced by setup-vm.sh, whose
# variables and functions it uses.
# shellcheck disable=SC2154

# Its host key, learned over a connection that was verified: the worker believes no other.
trust_host_key() {
    local key at file=$PORTAL_SECRETS/ssh_known_hosts
    at=$(known_as)
    # With FIPS there is no ED25519.
    # shellcheck disable=SC2016  # expanded on the VM
    key=$(remote 'cd /etc/ssh; for k in ed25519 ecdsa rsa; do [ ! -r ssh_host_${k}_key.pub ] || exec cat ssh_host_${k}_key.pub; done' | cut -d' ' -f1,2)
    [ -n "$key" ] || die step "No host key of $host was found in /etc/ssh." "Run ssh-keygen -A on it to create them."
    lock_host_keys "$file"
    if ! grep -qxF "$at $key" "$file"; then
        # Appended where it can be: who reads meanwhile sees all others.
        if other_host_keys "$file" | cmp -s - "$file"; then
            printf '%s\n' "$at $key" >>"$file" || die disk "$file cannot be written: is the disk full?" "Run this again."
        else
            put_host_keys "$file" "$(other_host_keys "$file")" "$at $key"
        fi
        say doing "the worker knows the VM's host key"
    fi
    unlock_host_keys
}

forget_host_key() {
    local file=$PORTAL_SECRETS/ssh_known_hosts
    [ -w "$file" ] || return 0
    lock_host_keys "$file"
    put_host_keys "$file" "$(other_host_keys "$file")"
    unlock_host_keys
}

# Two of this script at once must not lose each other's keys (flock(1); where there is none, one at a time).
lock_host_keys() {
    exec 9<>"$1"
    ! have_commands flock || flock 9
    [ ! -e "$1.new" ] || take_host_keys "$1" || die disk "$1 cannot be written: is the disk full?" "No key is lost; run this again."
}
unlock_host_keys() { exec 9>&-; }

# As sshd(8) writes it: several machines may be behind one address, by port.
known_as() { [ -z "${port:-}" ] && printf '%s' "$host" || printf '[%s]:%s' "$host" "$port"; }

# Without exactly this host: a dot in its name is a dot. A line may name several (sshd(8)): the others stay.
other_host_keys() {
    awk -v host="$(known_as)" '
        { count = split($1, names, ","); kept = ""
          for (n = 1; n <= count; n++) if (names[n] != host) kept = kept (kept == "" ? "" : ",") names[n] }
        kept == "" && count { next }
        kept != $1 { $1 = kept }
        { print }' "$1"
}

# The same file: containers have it mounted. What it shall hold is whole beside it first, and stays there until it is in:
# whatever happens in between, no key is lost.
put_host_keys() { # file, lines …
    local file=$1 one
    shift
    if ! { for one in "$@"; do [ -z "$one" ] || printf '%s\n' "$one"; done; } >"$file.part" ||
        ! mv "$file.part" "$file.new" || ! take_host_keys "$file"; then
        die disk "$file cannot be written: is the disk full?" "No key is lost; run this again."
    fi
}
take_host_keys() { # FILE: over what is there, then without the rest of it
    local size
    size=$(wc -c <"$1.new") && dd if="$1.new" of="$1" conv=notrunc 2>/dev/null &&
        dd if=/dev/null of="$1" bs=1 seek="$((size))" count=0 2>/dev/null && rm "$1.new"
}
