#!/usr/bin/env bash
# Checks the whole portal and names what is wrong, the command that fixes it, and where to read more.
#
#   health-check.sh [--json] [--quiet] [--deploy VM]     on the portal's machine
#
#   --json       one JSON object for monitoring: state, counts, findings
#   --quiet      only what is wrong
#   --deploy VM  also run a container on this VM, as a user's would run, and remove it
#
# Exit codes, as for monitoring plugins: 0 ok, 1 warnings, 2 critical, 3 the check could not run.
# It changes nothing. Uses the compose project of deployment/ (COMPOSE_FILE, COMPOSE_PROJECT_NAME and .env count).
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
json='' quiet='' deploy=()
while [ $# -gt 0 ]; do
    case "$1" in
    --json) json=1 ;;
    --quiet) quiet=1 ;;
    --deploy)
        [ -n "${2:-}" ] || { echo "error: --deploy needs a VM." >&2; exit 3; }
        deploy=(--deploy "$2")
        shift
        ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 3 ;;
    esac
    shift
done

findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
# note STATE CHECK SUBJECT SAYS NEXT SECTION
note() { printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "${5:-}" "${6:-}" >>"$findings"; }
# From there: COMPOSE_FILE in .env names files relative to where compose is called.
cd "$root/deployment" || exit 3
compose() { timeout "${limit:-20}" docker compose "$@"; }
# shellcheck source=vm/env.sh
. "$root/scripts/vm/env.sh"
read_env .env || exit 3
if [ ! -e .env ] && [ -z "${PORTAL_SECRETS:-}" ] && [ -r "$root/.demo/settings" ]; then
    echo "No deployment/.env: looking at the demo, with .demo/settings." >&2
    # shellcheck source=/dev/null
    . "$root/.demo/settings"
fi
setting() { printf '%s' "${!1:-$2}"; } # NAME DEFAULT: the environment, then .env, then the default
for name in PORTAL_CERTIFICATE_WARNING_DAYS PORTAL_DISK_WARNING_PERCENT PORTAL_DISK_CRITICAL_PERCENT; do
    [[ $(setting "$name" 0) =~ ^[0-9]+$ ]] && continue
    echo "error: $name must be a whole number, and is '${!name}'." >&2
    exit 3
done

# --- this machine ---------------------------------------------------------------------------------

check_engine() {
    timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1 && return
    note critical engine "this machine" "Docker Engine does not answer on the portal's machine." "systemctl status docker" engine-down
    return 1
}

check_disk() {
    local folder free used device seen=' '
    for folder in / "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null)"; do
        [ -d "$folder" ] || continue
        device=$(df -P "$folder" | awk 'NR == 2 {print $1}')
        [[ $seen != *" $device "* ]] || continue # one disk, one finding
        seen+="$device "
        free=$(df -P -k "$folder" | awk 'NR == 2 {print int($4 / 1048576)}')
        used=$(df -P -k "$folder" | awk 'NR == 2 {sub("%", "", $5); print $5}')
        if [ "$used" -ge "$(setting PORTAL_DISK_CRITICAL_PERCENT 95)" ]; then
            note critical disk "$folder" "The disk of $folder is $used % full ($free GB free)." "docker system df" disk-full
        elif [ "$used" -ge "$(setting PORTAL_DISK_WARNING_PERCENT 85)" ]; then
            note warning disk "$folder" "The disk of $folder is $used % full ($free GB free)." "docker system df" disk-full
        fi
    done
}

check_clock() {
    command -v timedatectl >/dev/null && [ -d /run/systemd/system ] || return 0
    [ "$(timedatectl show --property NTPSynchronized --value 2>/dev/null)" = yes ] ||
        note warning clock "this machine" "The clock is not synchronised: certificates and audit times depend on it." "chronyc tracking" clock
}

# A certificate's last day: gone, or near.
check_certificate() { # FILE WHOSE [BUNDLE], where it is one of several, named by its subject
    local text begin end whose=$2 left show="openssl x509 -in $1 -noout -text" now
    [ -s "$1" ] || { note critical certificate "$2" "$1 is missing or empty." "ls -l $1" certificates; return; }
    if ! text=$(openssl x509 -noout -subject -nameopt RFC2253 -startdate -enddate -in "$1" 2>/dev/null); then
        note critical certificate "$2" "${3:-$1} contains something that is not a certificate." "openssl storeutl -noout -certs ${3:-$1}" certificates
        return
    fi
    if [ -n "${3:-}" ]; then
        whose=${text%%$'\n'*} show="openssl storeutl -noout -text -certs $3"
        whose=${whose#subject=}
    fi
    begin=${text##*notBefore=} begin=${begin%%$'\n'*} end=${text##*notAfter=}
    printf -v now '%(%s)T' -1
    left=$(($(date -d "$end" +%s) - now))
    if [ "$(date -d "$begin" +%s)" -gt "$now" ]; then
        note critical certificate "$whose" "The certificate of $whose is not valid before $begin." "$show" certificates
    elif [ $left -lt 0 ]; then
        note critical certificate "$whose" "The certificate of $whose expired on $end." "$show" certificates
    elif [ $((left / 86400)) -lt "$(setting PORTAL_CERTIFICATE_WARNING_DAYS 30)" ]; then
        note warning certificate "$whose" "The certificate of $whose expires in $((left / 86400)) days." "$show" certificates
    else
        note ok certificate "$whose" "The certificate of $whose is good for $((left / 86400)) days."
    fi
}

# Authorities come as a bundle: each counts, and any that expired lets nobody of its people in.
check_bundle() { # FILE WHOSE [BUT_THE_FIRST]
    local folder one
    folder=$(mktemp -d)
    awk -v d="$folder" '/BEGIN CERT/ {n++} n {print > (d "/" n ".pem")}' "$1" 2>/dev/null
    if [ -n "${3:-}" ]; then
        rm -f "$folder/1.pem"
        [ -e "$folder/2.pem" ] || { rm -rf "$folder"; return; }
    fi
    for one in "$folder"/*.pem; do
        [ -s "$one" ] || { note critical certificate "$2" "$1 holds no certificate." "head $1" certificates; break; }
        check_certificate "$one" "$2" "$1"
    done
    rm -rf "$folder"
}

check_key() { # nginx does not start with a key that is another certificate's
    local key certificate
    certificate=$(openssl x509 -noout -pubkey -in "$secrets/server_cert" 2>/dev/null) || return 0 # told already
    if [ ! -r "$secrets/server_key" ]; then
        [ -e "$secrets/server_key" ] || note critical certificate "the server's key" "$secrets/server_key is missing." "ls -l $secrets" certificates
    elif ! key=$(openssl pkey -pubout -passin pass: -in "$secrets/server_key" 2>/dev/null); then
        note critical certificate "the server's key" "$secrets/server_key holds no private key that can be read without a passphrase." "openssl pkey -noout -check -in $secrets/server_key" certificates
    elif [ "$key" != "$certificate" ]; then
        note critical certificate "the server's key" "$secrets/server_key is not the key of the certificate in $secrets/server_cert." "openssl x509 -noout -subject -in $secrets/server_cert" certificates
    fi
}

check_certificates() {
    local authorities
    check_certificate "$secrets/server_cert" "the server"
    check_key
    check_bundle "$secrets/server_cert" "the server's authorities" but-the-first
    check_bundle "$secrets/client_ca" "the authorities of people"
    # A system's bundle, which may be the registry's, is its distribution's business.
    authorities=$(grep -c 'BEGIN CERT' "$secrets/registry_ca" 2>/dev/null)
    if [ "${authorities:-0}" -gt 50 ]; then
        note ok certificate "the registry's authority" "$secrets/registry_ca is a bundle of public authorities: not checked one by one."
    else
        check_bundle "$secrets/registry_ca" "the registry's authority"
    fi
}

# Services read their secrets at start: one that was replaced since then does not count yet.
check_secrets() {
    local service start file changed line
    # shellcheck disable=SC2016 # Go's variables, not the shell's
    line='{{$name := index .Config.Labels "com.docker.compose.service"}}{{$start := .State.StartedAt}}{{range .Mounts}}'
    # shellcheck disable=SC2016
    line+='{{$name}} {{$start}} {{.Source}}{{println}}{{end}}'
    while read -r service start file; do
        [[ $file = "$secrets"/* ]] && [ "${file##*/}" != ssh_known_hosts ] || continue # that is read anew each time
        # Of the file and of what a link to it leads to: the one that changed last.
        changed=$({ stat -c %Z "$file"; stat -L -c %Z "$file"; } 2>/dev/null | sort -n | tail -n 1)
        [ "${changed:-0}" -gt "$(date -d "$start" +%s)" ] || continue
        note warning secret "$service ${file##*/}" "$file, or its permissions, changed after $service started; $service still uses the old version." "docker compose up -d --force-recreate $service" secret-replaced
    done < <(compose ps -q 2>/dev/null | xargs -r timeout 20 docker inspect --format "$line" 2>/dev/null | sort -u)
}

# --- the services -----------------------------------------------------------------------------------

check_services() {
    local wanted there name state health code
    wanted=$(compose config --services 2>/dev/null) || {
        note critical services compose "The compose files or .env cannot be read." "docker compose config -q" compose-broken
        return
    }
    there=$(compose ps --all --format '{{.Service}} {{.State}} {{.Health}} {{.ExitCode}}' 2>/dev/null)
    for name in $wanted; do
        grep -q "^$name " <<<"$there" || note critical services "$name" "The service $name does not exist." "docker compose up -d" service-down
    done
    while read -r name state health code; do
        case "$name $state $health $code" in
        " "*) ;;
        init\ exited*) [ "${health:-0}${code:-}" = 0 ] || note critical services init "The database could not be migrated to the current schema." "docker compose logs init" init-failed ;;
        *" running unhealthy"*) note critical services "$name" "The service $name is running but unhealthy." "docker compose logs --tail 50 $name" service-down ;;
        *" running"*) note ok services "$name" "The service $name runs." ;;
        *) note critical services "$name" "The service $name is $state." "docker compose up -d $name; docker compose logs --tail 50 $name" service-down ;;
        esac
    done <<<"$there"
}

# Ports that the kernel lends to outgoing connections: one that is lent when nginx starts keeps it from starting.
check_port_range() {
    local first last low high
    [ "$(setting PORTAL_ADDRESSING ports)" = ports ] || return 0 # with names, nginx has none of them
    IFS=- read -r first last <<<"$(setting PORTAL_USER_PORTS 10000-10999)"
    read -r low high </proc/sys/net/ipv4/ip_local_port_range || return 0
    [ "$first" -le "$high" ] && [ "${last:-$first}" -ge "$low" ] || return 0
    # shellcheck source=/dev/null
    (
        bundle=$root/scripts
        . "$bundle/vm/steps.sh"
        . "$bundle/vm/prepare.sh"
        reserves "$first-$last"
    ) </proc/sys/net/ipv4/ip_local_reserved_ports && return 0
    note warning proxy "$first-$last" "This machine uses ports $low-$high for outgoing connections; some are users' ports, so nginx may fail to start." "sysctl -w net.ipv4.ip_local_reserved_ports=$first-$last" port-range
}

check_proxy() {
    check_port_range
    local host port bind
    host=$(setting PORTAL_PUBLIC_HOST localhost) port=$(setting PORTAL_PUBLIC_PORT 8443) bind=$(setting PORTAL_BIND 127.0.0.1)
    [ "$bind" != 0.0.0.0 ] || bind=127.0.0.1
    if timeout 5 openssl s_client -connect "$bind:$port" -servername "$host" </dev/null 2>/dev/null | grep -q 'BEGIN CERTIFICATE'; then
        note ok proxy "$host:$port" "The gateway answers with TLS on $host:$port."
    else
        note critical proxy "$host:$port" "The gateway does not answer on $bind:$port." "docker compose logs --tail 50 proxy; ss -ltn" proxy-down
    fi
}

# What only the worker knows: database, registry, VMs. Where it is down, the api can tell most of it.
check_inside() {
    local said service
    for service in worker api; do
        if said=$(limit=600 compose exec -T $service python3 admin.py health --lines ${deploy[@]+"${deploy[@]}"} 2>/dev/null); then
            printf '%s\n' "$said" >>"$findings"
            return
        fi
    done
    note critical services worker "Neither worker nor api can be reached: database, registry and VMs were not checked." "docker compose ps" service-down
}

# --- what was found -----------------------------------------------------------------------------------

escape() { sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' <<<"$1" | tr -d '\000-\037'; }
print_json() {
    local state check subject message next section first=1
    printf '{"state": "%s", "critical": %d, "warnings": %d, "findings": [' "$worst" "$critical" "$warnings"
    while IFS=$'\037' read -r state check subject message next section; do
        [ -n "$first" ] || printf ','
        first=''
        printf '\n  {"state": "%s", "check": "%s", "subject": "%s", "message": "%s", "next": "%s", "section": "%s"}' \
            "$state" "$check" "$(escape "$subject")" "$(escape "$message")" "$(escape "$next")" "$section"
    done < <(in_order)
    printf '\n]}\n'
}
print_text() {
    local state check subject message next section
    while IFS=$'\037' read -r state check subject message next section; do
        [ -z "$quiet" ] || [ "$state" != ok ] || continue
        printf '%-8s  %s\n' "$state" "$message"
        [ -z "$next" ] || printf '          run:  %s\n' "$next"
        [ -z "$section" ] || printf '          read: docs/TROUBLESHOOTING.md#%s\n' "$section"
    done < <(in_order)
    printf '\n%s: %d critical, %d warning%s, %d ok\n' "$worst" "$critical" "$warnings" \
        "$([ "$warnings" -eq 1 ] || echo s)" "$(grep -c '^ok' "$findings")"
}
# read(1) swallows empty fields between tabs: they are parted by another sign.
in_order() { { grep '^critical' "$findings"; grep '^warning' "$findings"; grep '^ok' "$findings"; } | tr '\t' '\037'; }

secrets=$(setting PORTAL_SECRETS "$root/deployment/secrets")
secrets=$(realpath -ms "$secrets") # from deployment/, as compose reads it
check_certificates
check_clock
if check_engine; then
    check_disk
    check_services
    check_secrets
    check_proxy
    check_inside
fi
critical=$(grep -c '^critical' "$findings")
warnings=$(grep -c '^warning' "$findings")
worst=ok
[ "$warnings" -eq 0 ] || worst=warning
[ "$critical" -eq 0 ] || worst=critical
if [ -n "$json" ]; then print_json; else print_text; fi
case "$worst" in ok) exit 0 ;; warning) exit 1 ;; *) exit 2 ;; esac
