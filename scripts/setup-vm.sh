#!/usr/bin/env bash
# Makes a machine a user VM of the portal: Docker Engine, GPUs, the portal's restricted account, isolation; adds it
# to the fleet and verifies that a container runs on it. Safe to run again: what is right stays untouched.
#
#   setup-vm.sh [options] HOST     from the portal's machine, over SSH (as an account with sudo)
#   setup-vm.sh --local [options]  on the VM itself, as root; does not add it to the fleet
#
#   --dry-run          say what would change, change nothing
#   --remove           take the VM out of the fleet and undo all this; Docker, drivers and home folders stay
#   --name NAME        its name in the portal (default: HOST in lowercase)
#   --login USER       SSH login of an administrator (default: as in your SSH configuration)
#   --port PORT        its SSH port, if not 22
#   --address IP       the address its containers publish ports on (default: the address that HOST resolves to)
#   --owner SUBJECT    dedicate it to one user (edipi:… or upn:…)   --pool NAME   or put it into a group's pool
#   --env FILE         settings (default: deployment/.env, if it is there); environment variables take precedence
#   --no-register      prepare only
#
# PORTAL_SSH and PORTAL_ADMIN replace the commands ssh and admin.py, where yours need more.
# Settings are described in deployment/.env.example, part "User VMs"; PORTAL_GATEWAYS is needed.
# Exit codes: 0 done, 2 usage, 3 distribution, 4 rights, 5 disk, 6 the host does not answer, 7 a step, 8 the verification.
set -euo pipefail

bundle=$(cd "$(dirname "$0")" && pwd)
deployment=$bundle/../deployment
# shellcheck source=vm/steps.sh
. "$bundle/vm/steps.sh"
# shellcheck source=vm/docker_settings.sh
. "$bundle/vm/docker_settings.sh"
# shellcheck source=vm/env.sh
. "$bundle/vm/env.sh"
# shellcheck source=vm/host_keys.sh
. "$bundle/vm/host_keys.sh"
# shellcheck source=vm/prepare.sh
. "$bundle/vm/prepare.sh"
# shellcheck source=vm/unprepare.sh
. "$bundle/vm/unprepare.sh"

usage() { sed -n '2,22s/^# \{0,1\}//p' "$0"; exit 2; }

mode=remote remove='' name='' login='' port='' address='' register=1 host='' env_file=$deployment/.env
fleet=()
options() {
    while [ $# -gt 0 ]; do
        case "$1" in
        --local) mode=local ;;
        --dry-run) dry_run=1 ;;
        --remove) remove=1 ;;
        --no-register) register='' ;;
        --name | --login | --port | --address | --owner | --pool | --env)
            [ $# -ge 2 ] && [ -n "$2" ] || die usage "$1 needs a value."
            case "$1" in
            --name) name=$2 ;;
            --login) login=$2 ;;
            --port) port=$2 ;;
            --address) address=$2 ;;
            --env) env_file=$2 ;;
            *) fleet+=("$1" "$2") ;;
            esac
            shift
            ;;
        -h | --help) usage ;;
        -*) die usage "There is no option $1." "setup-vm.sh --help lists them." ;;
        *)
            [ -z "$host" ] || die usage "One host at a time: $host or $1?"
            host=$1
            ;;
        esac
        shift
    done
    if [ $mode = remote ] && [ -z "$host" ]; then usage; fi
    [[ ! $host =~ [^A-Za-z0-9.:-] ]] || die usage "'$host' is not a host name."
    [ -z "$port" ] || is_port "$port" || die usage "'$port' is not a port."
    [ "$port" != 22 ] || port=
    host=$(printf '%s' "$host" | tr '[:upper:]' '[:lower:]') # as the worker looks for its key
    name=${name:-$host}
    [[ ! $name = *:* ]] || die usage "$name cannot be a name in the portal." "Give one with --name, for example --name vm-07."
}

# What travels to the VM; everything else of the settings stays here.
readonly SETTINGS=(PORTAL_GATEWAYS PORTAL_SSH_NETWORKS PORTAL_ADMIN_NETWORKS PORTAL_EGRESS PORTAL_EGRESS_PROXY
    PORTAL_EGRESS_ALLOW PORTAL_EGRESS_DENY PORTAL_EGRESS_DNS PORTAL_CONTAINER_SUBNETS PORTAL_USER_PORTS
    PORTAL_REGISTRY_HOST PORTAL_VM_MIN_DISK_GB PORTAL_DOCKER_REPOSITORY PORTAL_NVIDIA_REPOSITORY PORTAL_MIN_DRIVER)
is_network() {
    local octet='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
    [[ $1 =~ ^$octet(\.$octet){3}(/([0-9]|[12][0-9]|3[0-2]))?$ ]]
}
is_port() { [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && (($1 <= 65535)); }
defaults() {
    : "${PORTAL_GATEWAYS:=}" "${PORTAL_SSH_NETWORKS:=}" "${PORTAL_ADMIN_NETWORKS:=}" "${PORTAL_EGRESS:=open}"
    : "${PORTAL_EGRESS_PROXY:=}" "${PORTAL_EGRESS_ALLOW:=}" "${PORTAL_EGRESS_DENY:=}" "${PORTAL_EGRESS_DNS:=}"
    : "${PORTAL_CONTAINER_SUBNETS:=10.213.0.0/16}" "${PORTAL_USER_PORTS:=10000-10999}"
    : "${PORTAL_REGISTRY_HOST:=127.0.0.1:5443}" "${PORTAL_VM_MIN_DISK_GB:=20}"
    : "${PORTAL_DOCKER_REPOSITORY:=https://download.docker.com/linux/rhel/docker-ce.repo}" "${PORTAL_NVIDIA_REPOSITORY:=}" "${PORTAL_MIN_DRIVER:=}"
    : "${PORTAL_SECRETS:=./secrets}"
    [[ $PORTAL_SECRETS = /* ]] || PORTAL_SECRETS=$deployment/$PORTAL_SECRETS # as compose takes it
    local word
    # shellcheck disable=SC2086  # lists of words
    for word in $PORTAL_GATEWAYS $PORTAL_SSH_NETWORKS $PORTAL_ADMIN_NETWORKS $PORTAL_EGRESS_ALLOW $PORTAL_EGRESS_DENY \
        $PORTAL_EGRESS_DNS; do
        is_network "$word" ||
            die usage "'$word' is not an IPv4 address or network (in the User VMs settings)." "See deployment/.env.example."
    done
    if [[ $PORTAL_CONTAINER_SUBNETS != */* ]] || ! is_network "$PORTAL_CONTAINER_SUBNETS"; then
        die usage "PORTAL_CONTAINER_SUBNETS must be one IPv4 network such as 10.213.0.0/16, not '$PORTAL_CONTAINER_SUBNETS'."
    fi
    local first=${PORTAL_USER_PORTS%-*} last=${PORTAL_USER_PORTS#*-}
    if ! [[ $PORTAL_USER_PORTS = *-* ]] || ! is_port "$first" || ! is_port "$last" || ((first >= last)); then
        die usage "PORTAL_USER_PORTS must be FIRST-LAST."
    fi
    [[ $PORTAL_EGRESS =~ ^(open|proxy|none)$ ]] || die usage "PORTAL_EGRESS must be open, proxy or none."
    [ "$PORTAL_EGRESS" != proxy ] || [[ $PORTAL_EGRESS_PROXY =~ ^[0-9.]+:[0-9]+$ ]] ||
        die usage "With PORTAL_EGRESS=proxy, PORTAL_EGRESS_PROXY must be ADDRESS:PORT."
    [ -n "$remove" ] || [ -n "$PORTAL_GATEWAYS" ] ||
        die usage "PORTAL_GATEWAYS is not set: the address from which the portal's machine reaches the VMs." \
            "Set it in deployment/.env, for example PORTAL_GATEWAYS=10.0.0.5"
}

# --- on the VM -----------------------------------------------------------------------------------

run_local() {
    : "${PORTAL_PUBLIC_KEY_FILE:=$bundle/portal.pub}" "${PORTAL_REGISTRY_CA_FILE:=$bundle/registry_ca.crt}"
    export PORTAL_NVIDIA_REPOSITORY PORTAL_MIN_DRIVER # install-nvidia.sh is a program of its own
    trap 'die step "Interrupted." "Run it again: it continues where it stopped."' INT TERM
    if [ -n "$remove" ]; then
        unprepare
    else
        local file
        for file in "$PORTAL_PUBLIC_KEY_FILE" "$PORTAL_REGISTRY_CA_FILE"; do
            [ -s "$file" ] || die usage "$file is missing." "Set PORTAL_PUBLIC_KEY_FILE and PORTAL_REGISTRY_CA_FILE."
        done
        own_networks
        prepare
        if with_gpu; then
            local result=0
            PORTAL_PART_OF_SETUP=1 bash "$bundle/install-nvidia.sh" ${dry_run:+--dry-run} || result=$?
            [ $result -ne 10 ] || changed=$((changed + 1)) # its word for: something was, or would be, changed
            [ $result -ne 10 ] || [ -z "$dry_run" ] || pending=$((pending + 1))
            [ $result -eq 0 ] || [ $result -eq 10 ] || exit $result
        else
            say ok "no NVIDIA GPU here; nothing to install for one"
        fi
    fi
    closing
}

# What containers must not reach unless it is said: the networks this VM is on. Its name servers they need.
own_networks() {
    if [ -z "$PORTAL_EGRESS_DENY" ]; then
        PORTAL_EGRESS_DENY=$({ ip -4 route show scope link | awk '{print $1, $3}'; ip -4 -o address show | awk '{print $4, $2}'; } |
            awk '$2 !~ /^(lo|docker|br-|cp-|veth)/ && $1 ~ /^[0-9.]+(\/[0-9]+)?$/ {print $1}' | sort -u | paste -sd' ' -)
        [[ " $PORTAL_EGRESS_DENY " =~ /([0-9]|[12][0-9]|30)" " ]] ||
            warn "No local network of this VM was found ($PORTAL_EGRESS_DENY): containers may reach internal machines. Set PORTAL_EGRESS_DENY."
    fi
    if [ -z "$PORTAL_EGRESS_DNS" ]; then
        PORTAL_EGRESS_DNS=$({ cat /run/systemd/resolve/resolv.conf /etc/resolv.conf 2>/dev/null || true; } |
            awk '$1 == "nameserver" && $2 !~ /^127\./ && $2 !~ /:/ {print $2}' | sort -u | paste -sd' ' -)
    fi
}

# --- from the portal's machine ---------------------------------------------------------------------

# shellcheck disable=SC2086  # a command with its options
remote() { ${PORTAL_SSH:-ssh} -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 ${port:+-p "$port"} ${login:+-l "$login"} "$host" "$@"; }
admin() {
    if [ -n "${PORTAL_ADMIN:-}" ]; then
        # shellcheck disable=SC2086  # a command with its arguments
        $PORTAL_ADMIN "$@"
    else
        # From there: COMPOSE_FILE in .env names files relative to where compose is called.
        (cd "$deployment" && docker compose exec -T api python3 admin.py "$@")
    fi
}

reach() {
    local said
    if ! said=$(remote true 2>&1); then
        case "$said" in
        *"Could not resolve"*) die host "There is no host $host: its name does not resolve." "Check the name, or DNS." ;;
        *"Host key verification failed"*)
            die host "The host key of $host is not known here, or changed." \
                "Run 'ssh $host' once, compare its fingerprint, and accept it."
            ;;
        *"Permission denied"*) die host "$host refuses the administrator's login: $said" "Give --login, or load your key: ssh-add." ;;
        *) die host "$host does not answer: $said" "Is it up? Try: ssh $host" ;;
        esac
    fi
    # shellcheck disable=SC2016  # expanded on the VM
    remote 'test "$(id -u)" = 0 || sudo -n true' 2>/dev/null ||
        die rights "The login on $host may not use sudo without a password." \
            "Give another with --login, or add to sudoers: USER ALL=(ALL) NOPASSWD: ALL"
    say ok "$host answers, with the rights of an administrator"
}

# Scripts and public material only: the VM gets no secret of the portal.
pack() {
    local folder=$1 one
    mkdir -p "$folder/vm"
    cp "$bundle"/*.sh "$folder/" && cp "$bundle"/vm/*.sh "$folder/vm/"
    for one in "${SETTINGS[@]}"; do printf '%s=%s\n' "$one" "${!one}"; done >"$folder/settings"
    if [ -z "$remove" ]; then
        { cat "$PORTAL_SECRETS/ssh_key.pub" 2>/dev/null || ssh-keygen -y -f "$PORTAL_SECRETS/ssh_key"; } >"$folder/portal.pub" ||
            die usage "The worker's key is missing: $PORTAL_SECRETS/ssh_key" "See deployment/README.md, Secrets."
        cp "$PORTAL_SECRETS/registry_ca" "$folder/registry_ca.crt" ||
            die usage "The registry's authority is missing." "See deployment/README.md, Secrets."
        [ ! -e "$PORTAL_SECRETS/ssh_known_hosts" ] || [ -w "$PORTAL_SECRETS/ssh_known_hosts" ] ||
            die usage "$PORTAL_SECRETS/ssh_known_hosts cannot be written; VMs' host keys go there." "chmod u+w it, or use sudo."
        ! have_commands openssl || openssl x509 -noout -checkend 0 -in "$folder/registry_ca.crt" >/dev/null ||
            die usage "The registry's authority, $PORTAL_SECRETS/registry_ca, has expired or is not a certificate." \
                "No engine would trust it. Renew it first: docs/ADMIN_GUIDE.md, Certificates."
    fi
}

# The VM does its own part; its lines come through as they are said.
hand_over() {
    local folder command result=0
    folder=$(mktemp -d)
    # shellcheck disable=SC2064  # this folder, now
    trap "rm -rf '$folder'" EXIT
    pack "$folder"
    # shellcheck disable=SC2016  # expanded on the VM
    command='d=$(mktemp -d) && trap "rm -rf $d" EXIT && tar -C $d --no-same-owner -xf - && s=$(test "$(id -u)" = 0 || echo sudo -n) && $s bash $d/setup-vm.sh --local --env $d/settings'
    tar -C "$folder" --owner=0 --group=0 -cf - . | remote "$command ${dry_run:+--dry-run} ${remove:+--remove}" || result=$?
    [ $result -ne 255 ] || die host "The connection to $host broke." "Run this again: it continues where it stopped."
    return $result
}

register() {
    # One that was given before is kept: it need not be what the name resolves to.
    local known
    known=$(admin vm list) || die verification "The VM is prepared, but the portal does not answer; the reason is above." "Is it running? Try health-check.sh."
    if [ -z "$address" ] && [[ $known != *"\"name\": \"$name\""* ]]; then
        address=$(getent ahostsv4 "$host" | awk 'NR == 1 {print $1}')
        [ -n "$address" ] || die host "No address of $host was found." "Give it with --address."
    fi
    local at=$host
    [[ $host != *:* ]] || at="[$host]"
    admin vm setup "$name" --engine "ssh://portal@$at${port:+:$port}" ${address:+--address "$address"} ${fleet[@]+"${fleet[@]}"} ||
        die verification "The VM is prepared, but the portal cannot use it yet; the reason is above." \
            "Fix it and run this again. It takes no containers until then."
}

run_remote() {
    reach
    if [ -n "$remove" ] && [ -n "$register" ]; then
        [ -n "$dry_run" ] || admin vm remove "$name" --if-there || die step "$name is still used." "See above."
    fi
    hand_over
    [ -n "$register" ] || return 0
    if [ -n "$remove" ]; then
        [ -n "$dry_run" ] || forget_host_key
    elif [ -n "$dry_run" ]; then
        say would "teach the worker the VM's host key, add $name to the fleet, and verify it with a container"
    else
        trust_host_key
        register
    fi
}

# One block, so that bash has read all of it: a new version may be checked out meanwhile.
{
    options "$@"
    read_env "$env_file" || exit 2
    defaults
    if [ $mode = local ]; then run_local; else run_remote; fi
    exit
}
