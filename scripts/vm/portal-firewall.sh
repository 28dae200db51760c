#!/bin/sh
# Keeps containers of the portal apart from each other and from everything they have no business with.
#
#   portal-firewall apply    load the rules (one transaction: there is no moment without them)
#   portal-firewall check    one word: ok, missing, changed, stale or not_at_boot; exit 0 for ok, 1 else
#   portal-firewall show     print the rules that the settings ask for
#   portal-firewall remove   remove the rules
#
# Settings: /etc/container-portal/vm.conf, written by setup-vm.sh. The rules are a table of their own, before
# Docker's: Docker, firewalld and ufw neither see nor flush it, and it needs no chain of Docker's to exist. A drop
# in any table is final. Containers of the portal are known by their bridges, which are named cp-….
# Installed as /usr/local/sbin/portal-firewall; source: nft(8), and docs/SECURITY.md for the table it enforces.
set -eu
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

conf=${PORTAL_VM_CONF:-/etc/container-portal/vm.conf}
state=/run/container-portal
table='inet container_portal'
unit=container-portal-firewall.service

die() { echo "portal-firewall: $*" >&2; exit 2; }

# A set, or nothing: nft knows no empty list of elements.
named_set() { # NAME TYPE ELEMENT…
    name=$1 type=$2
    shift 2
    echo "    set $name {"
    echo "        type $type; flags interval; auto-merge"
    [ $# -eq 0 ] || echo "        elements = { $(echo "$@" | tr -s ' ' | sed 's/ /, /g') }"
    echo "    }"
}

# First: on some clouds the name server has a metadata service's address.
dns_rules() {
    [ "$PORTAL_EGRESS" = open ] && [ -n "$PORTAL_EGRESS_DNS" ] || return 0
    echo "        ip daddr @dns meta l4proto { tcp, udp } th dport 53 return"
}

egress_rules() {
    case "$PORTAL_EGRESS" in
    open)
        echo '        ip daddr @allowed return'
        echo '        ip daddr @denied counter drop comment "the internal network"'
        ;;
    proxy)
        echo '        ip daddr @allowed return'
        echo "        ip daddr ${PORTAL_EGRESS_PROXY%:*} tcp dport ${PORTAL_EGRESS_PROXY##*:} return"
        echo '        counter drop comment "only the proxy"'
        ;;
    none)
        echo '        ip daddr @allowed return'
        echo '        counter drop comment "no way out"'
        ;;
    *) die "PORTAL_EGRESS must be open, proxy or none, not '$PORTAL_EGRESS' ($conf)" ;;
    esac
}

# The VM's own SSH, where it is kept to some networks.
ssh_rules() {
    [ -n "$PORTAL_ADMIN_NETWORKS" ] || return 0
    echo '        ip saddr != @admin_networks ip saddr != @gateways tcp dport 22 counter drop comment "SSH of the VM"'
    echo '        meta nfproto ipv6 tcp dport 22 counter drop comment "SSH of the VM"'
}

# The portal's key may forward, which it needs for the engine's socket; it must not make the VM a way to other places.
# sshd's answers travel on the connection that is there. By number: names may not be known this early at boot.
account_rules() {
    uid=$(id -u portal 2>/dev/null) || return 0
    echo "        meta skuid $uid ct state new counter reject comment \"the portal's account opens no connections\""
}

# shellcheck disable=SC2086  # the settings are lists of words
render() {
    [ -r "$conf" ] || die "$conf is missing; run setup-vm.sh"
    PORTAL_GATEWAYS='' PORTAL_SSH_NETWORKS='' PORTAL_ADMIN_NETWORKS='' PORTAL_EGRESS=open PORTAL_EGRESS_PROXY=''
    PORTAL_EGRESS_ALLOW='' PORTAL_EGRESS_DENY='' PORTAL_EGRESS_DNS=''
    # shellcheck source=/dev/null
    . "$conf"
    [ -n "$PORTAL_GATEWAYS" ] || die "PORTAL_GATEWAYS is empty in $conf: nobody could open a notebook"
    rules=$(egress_rules)
    echo "table $table {"
    named_set gateways ipv4_addr $PORTAL_GATEWAYS
    named_set ssh_networks ipv4_addr $PORTAL_SSH_NETWORKS
    named_set admin_networks ipv4_addr $PORTAL_ADMIN_NETWORKS
    named_set allowed ipv4_addr $PORTAL_EGRESS_ALLOW
    named_set denied ipv4_addr $PORTAL_EGRESS_DENY
    named_set dns ipv4_addr $PORTAL_EGRESS_DNS
    cat <<RULES
    chain forward {
        type filter hook forward priority filter - 10; policy accept
        oifname "cp-*" jump to_containers
        iifname "cp-*" jump from_containers
    }
    chain to_containers {
        ct state established,related return
        iifname "cp-*" counter drop comment "container to container"
        ip saddr @gateways meta l4proto tcp return
        ip saddr @ssh_networks tcp dport 22 return
        counter drop comment "not the gateway"
    }
    chain from_containers {
        ct state established,related return
        meta nfproto ipv6 counter drop comment "containers have no IPv6"
$(dns_rules)
        ip daddr @gateways counter drop comment "the portal"
        ip daddr { 169.254.0.0/16, 168.63.129.16, 100.100.100.200 } counter drop comment "cloud metadata"
$rules
    }
    chain input {
        type filter hook input priority filter - 10; policy accept
        ct state established,related accept
        iifname "cp-*" counter drop comment "the VM itself"
$(ssh_rules)
    }
    chain output {
        type filter hook output priority filter - 10; policy accept
$(account_rules)
    }
}
RULES
}

digest() { sha256sum | cut -d' ' -f1; }
# shellcheck disable=SC2086  # family and name are two words
live() { nft -s list table $table 2>/dev/null; }

apply() {
    rules=$(render)
    # Created first, so that deleting it never fails; the three happen at once or not at all.
    printf 'table %s\ndelete table %s\n%s\n' "$table" "$table" "$rules" | nft -f -
    mkdir -p "$state"
    printf '%s\n' "$rules" | digest >"$state/firewall.wanted"
    live | digest >"$state/firewall.loaded"
}

verdict() {
    rules=$(render) || return
    if ! loaded=$(live); then echo missing; return; fi
    if [ "$(printf '%s\n' "$rules" | digest)" != "$(cat "$state/firewall.wanted" 2>/dev/null)" ]; then echo stale; return; fi
    if [ "$(printf '%s\n' "$loaded" | digest)" != "$(cat "$state/firewall.loaded" 2>/dev/null)" ]; then echo changed; return; fi
    if [ -d /run/systemd/system ] && ! systemctl is-enabled --quiet "$unit" 2>/dev/null; then echo not_at_boot; return; fi
    echo ok
}

case "${1:-}" in
apply) apply ;;
check)
    said=$(verdict) || exit 2
    echo "$said"
    [ "$said" = ok ]
    ;;
show) render ;;
remove)
    # shellcheck disable=SC2086
    live >/dev/null && nft delete table $table
    rm -f "$state/firewall.wanted" "$state/firewall.loaded"
    ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
