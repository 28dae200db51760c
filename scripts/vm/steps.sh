# shellcheck shell=bash
# How scripts on a VM do their work: in steps that look first, act only where something differs, and look again.
# Sourced by setup-vm.sh and install-nvidia.sh.

dry_run=${dry_run:-}
changed=0
pending=0
began=$SECONDS

say() { printf '%4ds  %-7s %s\n' $((SECONDS - began)) "$1" "$2"; }
warn() { say warning "$1"; }
# What went wrong is also the exit code, for other programs.
die() { # usage|distribution|rights|disk|host|step|verification WHAT [NEXT]
    printf 'error: %s\n' "$2" >&2
    [ -z "${3:-}" ] || printf '       %s\n' "$3" >&2
    case "$1" in
    usage) exit 2 ;;
    distribution) exit 3 ;;
    rights) exit 4 ;;
    disk) exit 5 ;;
    host) exit 6 ;;
    verification) exit 8 ;;
    *) exit 7 ;;
    esac
}

# step TITLE LOOK ACT: nothing to do where LOOK says so; otherwise ACT, and LOOK must agree afterwards.
step() {
    if "$2"; then
        say ok "$1"
    elif [ -n "$dry_run" ]; then
        say would "$1"
        pending=$((pending + 1))
    else
        say doing "$1 ..."
        "$3" || die step "\"$1\" failed; its output is above." "Fix it and run this again: finished steps are not repeated."
        "$2" || die step "\"$1\" had no effect." "Run this again with bash -x to see why."
        changed=$((changed + 1))
    fi
}

closing() {
    if [ -n "$dry_run" ]; then
        say end "dry run: steps that would change something: $pending; nothing was changed."
    elif [ "$changed" -eq 0 ]; then
        say end "nothing to do."
    else
        say end "steps that changed something: $changed."
    fi
}

# write FILE MODE: standard input becomes the file, whole or not at all.
write() {
    local temporary
    mkdir -p "$(dirname "$1")"
    temporary=$(mktemp "$1.XXXXXX")
    cat >"$temporary"
    chmod "$2" "$temporary"
    mv "$temporary" "$1"
}

# fetch URL FILE: the whole file or none.
fetch() { curl -fsSL --max-time 60 "$1" -o "$2.part" && mv "$2.part" "$2"; }

# same FILE: whether the file already says what comes on standard input.
same() { [ -f "$1" ] && cmp -s - "$1"; }

# The distribution, as /etc/os-release names it: family is debian or rhel; anything else is refused.
distribution() {
    local file=${OS_RELEASE:-/etc/os-release}
    [ -r "$file" ] || die distribution "This distribution is not supported: $file is missing."
    # shellcheck source=/dev/null
    distribution_id=$(. "$file" && echo "${ID:-}") distribution_version=$(. "$file" && echo "${VERSION_ID:-}")
    case "$distribution_id $distribution_version" in
    "debian 12" | "debian 13" | "ubuntu 22.04" | "ubuntu 24.04") family=debian ;;
    "rhel 9"* | "rocky 9"* | "almalinux 9"*) family=rhel ;;
    *)
        die distribution "${distribution_id:-?} ${distribution_version:-?} is not supported." \
            "Supported: Debian 12 and 13, Ubuntu 22.04 and 24.04, RHEL, Rocky and AlmaLinux 9."
        ;;
    esac
}

# A package manager that was interrupted refuses everything: let it finish first.
packages_whole() { [ "$family" != debian ] || [ -z "$(dpkg --audit)" ]; }
finish_packages() {
    export DEBIAN_FRONTEND=noninteractive
    quietly dpkg --configure -a && quietly apt-get -y --fix-broken install
}

# What package managers say is of interest only when they fail.
quietly() {
    local log result=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 || result=$?
    [ $result -eq 0 ] || tail -20 "$log" >&2
    rm -f "$log"
    return $result
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    case "$family" in
    debian)
        # The lock is another package manager's, unattended upgrades for one: wait for it.
        [ -n "${lists_fresh:-}" ] || quietly apt-get -o DPkg::Lock::Timeout=120 update || return
        lists_fresh=1
        quietly apt-get -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@"
        ;;
    rhel) quietly dnf -y install "$@" ;;
    esac
}

have_commands() {
    local one
    for one in "$@"; do command -v "$one" >/dev/null || return 1; done
}

with_gpu() { cat "${PCI_DEVICES:-/sys/bus/pci/devices}"/*/vendor 2>/dev/null | grep -q 0x10de; }

# merged_json FILTER: /etc/docker/daemon.json as it should be, everything else in it kept.
merged_json() { (cat /etc/docker/daemon.json 2>/dev/null || echo '{}') | jq --sort-keys "$1"; }
