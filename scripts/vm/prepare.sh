# shellcheck shell=bash disable=SC2154  # setup-vm.sh and steps.sh set what is not set here
# The steps that make a machine a user VM, on that machine, as root. Sourced by setup-vm.sh --local.
# Each step is two functions: is_… looks, make_… acts. Settings come as variables, see setup-vm.sh.

readonly KEPT=/etc/container-portal
readonly UNIT=/etc/systemd/system/container-portal-firewall.service
readonly DROP_IN=/etc/systemd/system/docker.service.d/container-portal.conf
# Read last at boot: others that set the same, Debian's 99-sysctl.conf for one, must not take it back.
readonly SYSCTL=/etc/sysctl.d/99-zz-container-portal.conf
readonly SUDOERS=/etc/sudoers.d/container-portal
readonly SSHD=/etc/ssh/sshd_config.d/10-container-portal.conf
readonly HOME_OF_PORTAL=/var/lib/container-portal

check_machine() {
    distribution
    [ "$(id -u)" -eq 0 ] || die rights "This needs root." "Run it with sudo."
    [ -d /run/systemd/system ] || die distribution "systemd is not running here." "Run this on a booted VM, not in a chroot or container."
    local free
    free=$(df -P -k /var/lib | awk 'NR == 2 {print $4}')
    [ "$free" -ge $((PORTAL_VM_MIN_DISK_GB * 1024 * 1024)) ] || is_engine_installed ||
        die disk "Only $((free / 1024 / 1024)) GB are free below /var/lib; $PORTAL_VM_MIN_DISK_GB are needed for images." \
            "Free up space, use a larger disk, or lower PORTAL_VM_MIN_DISK_GB."
    say ok "$distribution_id $distribution_version, $((free / 1024 / 1024)) GB free"
}

is_equipped() { have_commands jq nft curl sudo sshd modprobe; }
make_equipped() { install_packages jq nftables ca-certificates curl sudo openssh-server kmod; }

# --- Docker Engine ---------------------------------------------------------------------------

is_engine_installed() { have_commands dockerd docker iptables; }
make_engine_installed() {
    case "$family" in
    debian) install_packages docker.io iptables && { have_commands docker || install_packages docker-cli; } ;;
    rhel)
        [ -f /etc/yum.repos.d/docker-ce.repo ] ||
            fetch "$PORTAL_DOCKER_REPOSITORY" /etc/yum.repos.d/docker-ce.repo || return
        install_packages docker-ce docker-ce-cli containerd.io iptables-nft
        ;;
    esac
}

# Logs cannot fill the disk; containers outlive a restart of the engine; published ports are the kernel's, so that
# the firewall sees who asks; room for one small network per user.
wanted_daemon_json() {
    merged_json '. + {
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
        "live-restore": true,
        "userland-proxy": false,
        "default-address-pools": [{"base": "'"$PORTAL_CONTAINER_SUBNETS"'", "size": 27}]
    }'
}
is_daemon_json() {
    have_commands jq || return 1
    if [ -s /etc/docker/daemon.json ] && ! jq -e . /etc/docker/daemon.json >/dev/null 2>&1; then
        die step "/etc/docker/daemon.json is not valid JSON: $(jq . /etc/docker/daemon.json 2>&1 | head -1)" \
            "Fix it or move it away, and run this again."
    fi
    [ "$(wanted_daemon_json)" = "$(jq --sort-keys . /etc/docker/daemon.json 2>/dev/null)" ] # however it is laid out
}
write_daemon_json() { wanted_daemon_json | write /etc/docker/daemon.json 0644; }
make_daemon_json() { change_daemon_json write_daemon_json; }

is_engine_running() {
    systemctl is-enabled --quiet docker.service 2>/dev/null && systemctl is-active --quiet docker.service &&
        timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}
make_engine_running() {
    systemctl daemon-reload
    systemctl enable --quiet docker.service
    systemctl reset-failed docker.service 2>/dev/null
    systemctl start docker.service && return
    journalctl --unit docker.service --lines 20 --no-pager >&2
    return 1
}

# --- the portal's account ----------------------------------------------------------------------

# The key forwards to the engine's socket and asks the gate, from the portal's addresses, and nothing else.
wanted_keys() {
    printf 'restrict,port-forwarding,from="%s",command="/usr/local/bin/portal-gate" %s\n' \
        "$(echo "$PORTAL_GATEWAYS" | tr -s ' ' ',')" "$(cut -d' ' -f1,2 <"$PORTAL_PUBLIC_KEY_FILE")"
}
# Before the firewall, which knows it by its number.
is_user() {
    id portal >/dev/null 2>&1 || return
    [ "$(getent passwd portal | cut -d: -f6)" = "$HOME_OF_PORTAL" ] ||
        die step "There is already an account named portal, but it is not the portal's." "Rename it, or use another VM."
}
make_user() { useradd --system --create-home --home-dir "$HOME_OF_PORTAL" --shell /bin/sh portal; }

is_account() {
    id -nG portal 2>/dev/null | tr ' ' '\n' | grep -qx docker && wanted_keys | same ~portal/.ssh/authorized_keys
}
make_account() {
    local home
    home=$HOME_OF_PORTAL
    usermod --append --groups docker portal || return
    install -d -o portal -g "$(id -gn portal)" -m 0700 "$home/.ssh"
    wanted_keys | write "$home/.ssh/authorized_keys" 0600 && chown -R portal: "$home/.ssh"
    # With SELinux sshd reads keys only where they are labelled so.
    ! have_commands semanage restorecon || { semanage fcontext -a -t ssh_home_t "$HOME_OF_PORTAL/\.ssh(/.*)?" 2>/dev/null; restorecon -R "$home/.ssh"; } || true
}

is_gate() {
    same /usr/local/bin/portal-gate <"$bundle/vm/portal-gate.sh" && [ -x /usr/local/bin/portal-gate ] &&
        wanted_sudoers | same "$SUDOERS"
}
wanted_sudoers() { echo 'portal ALL=(root) NOPASSWD: /usr/local/sbin/portal-firewall check'; }
make_gate() {
    write /usr/local/bin/portal-gate 0755 <"$bundle/vm/portal-gate.sh"
    wanted_sudoers | visudo -c -q -f - && wanted_sudoers | write "$SUDOERS" 0440
}

# sshd may be told not to let the account in or not to forward: then the portal cannot work. (To forward to a socket it
# wants both words; that the key leads to no other machine is the firewall's.)
is_sshd_willing() {
    local said
    said=$(sshd -T -C user=portal,host=portal,addr=127.0.0.1 2>/dev/null) || return 0 # too old to tell
    grep -qxE 'allowstreamlocalforwarding (yes|all|local)' <<<"$said" && grep -qxE 'allowtcpforwarding (yes|all|local)' <<<"$said" &&
        grep -qx 'pubkeyauthentication yes' <<<"$said"
}
make_sshd_willing() {
    printf 'Match User portal\n    PubkeyAuthentication yes\n    AllowStreamLocalForwarding local\n    AllowTcpForwarding local\nMatch all\n' |
        write "$SSHD" 0644
    systemctl reload ssh 2>/dev/null || systemctl reload sshd
}

# --- registry, ports, firewall ------------------------------------------------------------------

registry_ca() { echo "/etc/docker/certs.d/$PORTAL_REGISTRY_HOST/ca.crt"; }
is_registry_trusted() { same "$(registry_ca)" <"$PORTAL_REGISTRY_CA_FILE"; }
make_registry_trusted() { write "$(registry_ca)" 0644 <"$PORTAL_REGISTRY_CA_FILE"; }

# The kernel must not take users' ports for connections of its own. What is reserved otherwise stays reserved.
wanted_sysctl() {
    local others file
    others=$(for file in /etc/sysctl.conf /etc/sysctl.d/*.conf; do
        [ "$file" = "$SYSCTL" ] || sed -n 's/^[[:space:]]*net.ipv4.ip_local_reserved_ports[[:space:]]*=[[:space:]]*//p' "$file" 2>/dev/null
    done | paste -sd, -)
    echo "# Users' ports, written by setup-vm.sh."
    echo "net.ipv4.ip_local_reserved_ports = ${others:+$others,}$PORTAL_USER_PORTS"
    echo 'net.bridge.bridge-nf-call-iptables = 1'
}
# reserves FIRST-LAST: whether a list of ports and ranges on standard input covers it; the kernel joins neighbours.
reserves() {
    tr ',' '\n' | awk -F- -v first="${1%-*}" -v last="${1#*-}" \
        '{ from = $1 + 0; to = ($2 == "" ? $1 : $2) + 0; if (from <= first && last <= to) found = 1 } END { exit !found }'
}
is_kernel_told() {
    wanted_sysctl | same "$SYSCTL" && [ "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null)" = 1 ] &&
        reserves "$PORTAL_USER_PORTS" </proc/sys/net/ipv4/ip_local_reserved_ports
}
make_kernel_told() {
    echo br_netfilter | write /etc/modules-load.d/container-portal.conf 0644
    [ -d /proc/sys/net/bridge ] || modprobe br_netfilter || return
    wanted_sysctl | write "$SYSCTL" 0644 && sysctl --quiet --load "$SYSCTL"
}

wanted_conf() {
    local name
    echo "# Written by setup-vm.sh; run it again after changing its settings. Read by portal-firewall."
    for name in PORTAL_GATEWAYS PORTAL_SSH_NETWORKS PORTAL_ADMIN_NETWORKS PORTAL_EGRESS PORTAL_EGRESS_PROXY \
        PORTAL_EGRESS_ALLOW PORTAL_EGRESS_DENY PORTAL_EGRESS_DNS; do
        printf '%s="%s"\n' "$name" "${!name}"
    done
}
wanted_unit() {
    cat <<'UNIT'
[Unit]
Description=Container Portal: keeps containers apart
Documentation=file:/usr/local/sbin/portal-firewall
DefaultDependencies=no
After=local-fs.target systemd-sysctl.service systemd-modules-load.service
Before=network-pre.target docker.service shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/portal-firewall apply
ExecReload=/usr/local/sbin/portal-firewall apply

[Install]
WantedBy=multi-user.target
UNIT
}
# Without the rules Docker does not start: better nothing than containers that everybody reaches.
wanted_drop_in() {
    printf '[Unit]\nRequires=container-portal-firewall.service\nAfter=container-portal-firewall.service\n'
    printf '[Service]\nExecStartPre=/usr/local/sbin/portal-firewall apply\n'
}
is_firewall() {
    same /usr/local/sbin/portal-firewall <"$bundle/vm/portal-firewall.sh" && wanted_conf | same "$KEPT/vm.conf" &&
        wanted_unit | same "$UNIT" && wanted_drop_in | same "$DROP_IN" &&
        [ "$(/usr/local/sbin/portal-firewall check 2>/dev/null)" = ok ]
}
# Rules that cannot be loaded are put back: with them Docker would not start again.
make_firewall() {
    local before file files=(/usr/local/sbin/portal-firewall "$KEPT/vm.conf" "$UNIT" "$DROP_IN")
    before=$(mktemp -d)
    for file in "${files[@]}"; do [ ! -e "$file" ] || cp -p --parents "$file" "$before"; done
    load_firewall && { rm -rf "$before"; return; }
    journalctl --unit container-portal-firewall.service --lines 5 --no-pager >&2
    for file in "${files[@]}"; do
        if [ -e "$before/$file" ]; then cp -p "$before/$file" "$file"; else rm -f "$file"; fi
    done
    rm -rf "$before"
    systemctl daemon-reload
    echo "These rules cannot be loaded; the previous ones are back in place." >&2
    return 1
}
load_firewall() {
    write /usr/local/sbin/portal-firewall 0755 <"$bundle/vm/portal-firewall.sh"
    wanted_conf | write "$KEPT/vm.conf" 0644
    wanted_unit | write "$UNIT" 0644
    wanted_drop_in | write "$DROP_IN" 0644
    systemctl daemon-reload
    systemctl enable --quiet container-portal-firewall.service
    systemctl reload-or-restart container-portal-firewall.service # a restart would take Docker along
}

# --- what is only looked at ----------------------------------------------------------------------

check_clock() {
    case "$(timedatectl show --property NTPSynchronized --value 2>/dev/null)" in
    yes) say ok "the clock is synchronised" ;;
    *) warn "The clock is not synchronised: certificates and audit times depend on it. Install chrony and check chronyc tracking." ;;
    esac
}

check_registry() {
    have_commands curl || return 0 # a dry run on a machine that has nothing yet
    local code
    code=$(curl -s -o /dev/null --max-time 10 --cacert "$PORTAL_REGISTRY_CA_FILE" -w '%{http_code}' "https://$PORTAL_REGISTRY_HOST/v2/" || true)
    case "$code" in
    200 | 401) say ok "the registry $PORTAL_REGISTRY_HOST answers" ;;
    *) warn "The registry $PORTAL_REGISTRY_HOST does not answer from here (curl: $code): images cannot be downloaded." ;;
    esac
}

# --- all of it -------------------------------------------------------------------------------------

prepare() {
    check_machine
    ! id portal >/dev/null 2>&1 || is_user # somebody else's account is noticed before anything is touched
    step "the package manager has no unfinished work" packages_whole finish_packages
    step "tools: jq, nftables, curl, sudo" is_equipped make_equipped
    step "ports $PORTAL_USER_PORTS are reserved" is_kernel_told make_kernel_told
    step "the account portal exists" is_user make_user
    step "the firewall is loaded, now and before Docker at boot" is_firewall make_firewall
    step "Docker's settings" is_daemon_json make_daemon_json
    step "Docker Engine is installed" is_engine_installed make_engine_installed
    step "Docker Engine runs, and starts at boot" is_engine_running make_engine_running
    step "the registry's authority is trusted" is_registry_trusted make_registry_trusted
    step "portal-gate, the only command the portal's key may run" is_gate make_gate
    step "the account has its restricted key, and nothing else" is_account make_account
    step "sshd allows the account to forward" is_sshd_willing make_sshd_willing
    check_clock
    check_registry
}
