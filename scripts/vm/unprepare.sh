# shellcheck shell=bash disable=SC2154  # setup-vm.sh and steps.sh set what is not set here
# setup-vm.sh --remove, on the VM: undoes what prepare.sh did. Docker, drivers and home volumes stay.

is_gone() { [ ! -e "$1" ]; }

undo() { # TITLE FILE…
    local title=$1 file there=''
    shift
    for file in "$@"; do is_gone "$file" || there=1; done
    if [ -z "$there" ]; then
        say ok "$title: gone"
    elif [ -n "$dry_run" ]; then
        say would "remove $title"
        pending=$((pending + 1))
    else
        rm -rf "$@"
        say doing "removed $title"
        changed=$((changed + 1))
    fi
}

no_containers() {
    local running
    if ! have_commands docker || ! running=$(timeout 20 docker ps -q --filter label=org.container-portal.deployment 2>/dev/null); then
        warn "Docker does not answer here, so it is not known whether containers of the portal are running."
        return
    fi
    running=$(grep -c . <<<"$running" || true)
    [ "$running" -eq 0 ] || die step "$running of the portal's containers run here." "Stop them in the portal first."
}

is_firewall_off() { ! nft list table inet container_portal >/dev/null 2>&1 && [ ! -e "$UNIT" ]; }
make_firewall_off() {
    # Docker first, so that it no longer needs the rules.
    rm -f "$DROP_IN"
    systemctl daemon-reload
    systemctl disable --quiet --now container-portal-firewall.service 2>/dev/null
    [ ! -x /usr/local/sbin/portal-firewall ] || /usr/local/sbin/portal-firewall remove || true
    rm -f "$UNIT"
    systemctl daemon-reload
}

is_account_gone() { ! id portal >/dev/null 2>&1 || [ "$(getent passwd portal | cut -d: -f6)" != "$HOME_OF_PORTAL" ]; }
make_account_gone() {
    # The worker's connection, which comes back until the key is gone; and what systemd runs for a session.
    rm -f "$HOME_OF_PORTAL/.ssh/authorized_keys"
    loginctl terminate-user portal 2>/dev/null || true
    pkill -u portal || true
    local waited
    for waited in $(seq 1 25); do
        pgrep -u portal >/dev/null || break
        [ "$waited" -lt 15 ] || pkill -KILL -u portal || true
        sleep 0.2 # waiting for processes of somebody else to end
    done
    userdel --remove portal 2>/dev/null || userdel portal
}

is_daemon_json_plain() {
    [ ! -s /etc/docker/daemon.json ] || ! jq -e 'has("default-address-pools")' /etc/docker/daemon.json >/dev/null
}
make_daemon_json_plain() {
    jq 'del(."default-address-pools")' /etc/docker/daemon.json | write /etc/docker/daemon.json 0644
}

unprepare() {
    distribution
    [ "$(id -u)" -eq 0 ] || die rights "This needs root." "Run it with sudo."
    no_containers
    step "the account portal is gone" is_account_gone make_account_gone
    undo "the gate" /usr/local/bin/portal-gate "$SUDOERS"
    step "the firewall is gone" is_firewall_off make_firewall_off
    undo "the firewall's files" /usr/local/sbin/portal-firewall "$KEPT"
    undo "the registry's authority" "$(dirname "$(registry_ca)")"
    undo "reserved ports and modules" "$SYSCTL" /etc/modules-load.d/container-portal.conf
    undo "sshd's rules for the account" "$SSHD"
    undo "the CDI unit" /etc/systemd/system/container-portal-cdi.service /etc/systemd/system/multi-user.target.wants/container-portal-cdi.service
    step "Docker's address pools are its own again" is_daemon_json_plain make_daemon_json_plain
    say ok "kept: Docker Engine and its other settings, drivers, home folders (docker volume ls)"
}
