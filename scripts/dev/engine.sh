#!/usr/bin/env bash
# What `make demo` and `make test` need of Docker: a live engine, Compose v2, buildx, base images.
#
#   engine.sh up      uses the engine that is there; on a bare Debian machine, as root, installs
#                     and starts one. Brings Compose v2, buildx and the base images (stand-ins offline).
#   engine.sh base NAME:TAG@DIGEST …
#                     makes sure of the bases that images are built on: pulled, else stand-ins.
#   engine.sh down    stops the engine that `up` started; leaves any other alone.
set -euo pipefail

pid_file=/run/container-portal-dockerd.pid
log_file=/var/log/container-portal-dockerd.log
plugin_dir=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
started=$SECONDS
scratch=$(mktemp -d)
chmod 755 "$scratch" # apt reads as another user
trap 'rm -rf "$scratch"' EXIT
pull_log=$scratch/pull.log

say() { printf '%4ds  %s\n' $((SECONDS - started)) "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
# macOS has no timeout command; there the client's own limits must do.
limited() { if command -v timeout >/dev/null; then timeout "$@"; else shift; "$@"; fi; }
live() { limited 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

need_root_debian() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        die "$1 Install it, or run this as root on Debian and it will be installed."
    fi
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    [ -n "${apt_updated:-}" ] || { apt-get update -qq; apt_updated=1; }
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

is_debian() { [ "$(id -u)" -eq 0 ] && grep -qs '^ID=debian$' /etc/os-release; }

# The Debian archive that this machine uses, of all sources that it has.
archive() {
    local site
    # shellcheck disable=SC2016  # apt's placeholder, not the shell's
    site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | sort -u | head -1)
    echo "${site:-https://deb.debian.org/debian}"
}

ensure_engine() {
    if live; then
        say "Docker Engine $(docker version --format '{{.Server.Version}}') is running; using it."
        return
    fi
    need_root_debian "No Docker Engine answers ($(limited 10 docker version 2>&1 >/dev/null | tail -1))."
    if ! command -v dockerd >/dev/null; then
        say "Installing Docker Engine (Debian's docker.io; about 30 s) ..."
        apt_install docker.io iptables ca-certificates
    fi
    if ! command -v docker >/dev/null; then apt_install docker-cli; fi # Debian 13: a package of its own
    if ! command -v iptables >/dev/null; then apt_install iptables; fi
    live && return # some installs start it
    say "Starting Docker Engine ..."
    rm -f /var/run/docker.pid
    setsid dockerd --storage-driver=overlay2 --pidfile="$pid_file" >"$log_file" 2>&1 </dev/null &
    local waited
    for waited in $(seq 1 60); do
        if live; then say "Docker Engine is up."; return; fi
        sleep 0.5
    done
    tail -20 "$log_file" >&2
    die "Docker Engine did not come up within $((waited / 2)) s; its log is above."
}

# Compose v2 is needed. With buildx the services' images are built in half the time: where it cannot be fetched it is
# not asked for again.
ensure_plugins() {
    local missing=() tried=$plugin_dir/.no-buildx
    docker compose version >/dev/null 2>&1 || missing=(docker-compose)
    [ -e "$tried" ] || ! is_debian || docker buildx version >/dev/null 2>&1 || missing+=(docker-buildx)
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "${missing[0]}" = docker-buildx ] || need_root_debian "Docker Compose v2 is missing."
    say "Fetching ${missing[*]} (Debian 13's, unpacked into $plugin_dir; some seconds) ..."
    local work=$scratch/plugins name
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$plugin_dir"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(archive) trixie main" >"$work/list"
    local options=(-qq -o "Dir::Etc::sourcelist=$work/list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
        -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    if (cd "$work" && limited 120 apt-get "${options[@]}" update && limited 300 apt-get "${options[@]}" download "${missing[@]}"); then
        for name in "${missing[@]}"; do
            dpkg -x "$work/$name"_*.deb "$work/x"
            install -m 0755 "$work/x/usr/libexec/docker/cli-plugins/$name" "$plugin_dir/$name"
        done
    elif [ "${missing[0]}" = docker-buildx ]; then
        say "  buildx cannot be fetched; Docker's older builder does (remove $tried to try again)."
        touch "$tried"
    fi
    docker compose version >/dev/null || die "Docker Compose v2 could not be installed."
}

# A base image NAME:TAG[@DIGEST]: there already, pulled, or a stand-in made here, named NAME:TAG and labelled as one.
# A stand-in by an older recipe than this one is made anew.
recipe=4
ensure_base() {
    local name=$1 tag=${1%@*}
    if docker image inspect "$name" >/dev/null 2>&1 && ! old_standin "$name"; then return; fi
    if docker image inspect "$tag" >/dev/null 2>&1 && is_standin "$tag" && ! old_standin "$tag"; then return; fi
    say "Pulling $name (a minute or more: bases with CUDA are several GB) ..."
    if limited "${BASE_PULL_S:-1800}" docker pull -q "$name" >/dev/null 2>"$pull_log"; then return; fi
    say "  cannot be pulled ($(tail -1 "$pull_log" | cut -c1-90)): making a STAND-IN from Debian's packages (about 30 s)"
    case $tag in
    debian:*) standin_debian "$tag" ;;
    python:*) standin "$tag" python ;;
    nvidia/cuda:*) standin "$tag" cuda ;;
    nvcr.io/nvidia/pytorch:*) standin "$tag" pytorch ;;
    nvcr.io/nvidia/tensorflow:*) standin "$tag" tensorflow ;;
    *) die "$name cannot be pulled, and no stand-in for it is known." ;;
    esac
}

label() { docker image inspect -f "{{index .Config.Labels \"org.container-portal.standin$2\"}}" "$1" 2>/dev/null; }
is_standin() { [ "$(label "$1" "")" = true ]; }
old_standin() { is_standin "$1" && [ "$(label "$1" .recipe)" != "$recipe" ]; }

standin_debian() {
    need_root_debian "A stand-in for $1 needs mmdebstrap."
    command -v mmdebstrap >/dev/null || apt_install mmdebstrap
    local work=$scratch/${1//[^a-z0-9]/-} suite=${1#debian:}
    suite=${suite%-slim}
    mkdir -p "$work"
    # With security updates, as the real one has: the archive beside the one that this machine uses.
    printf 'deb %s %s main\n' "$(archive)" "$suite" "$(archive)-security" "$suite-security" >"$work/sources.list"
    # shellcheck disable=SC2016  # mmdebstrap gives $1 to the hook
    mmdebstrap --quiet --variant=minbase --include=ca-certificates --aptopt='Acquire::Languages "none"' \
        --aptopt='APT::Install-Recommends "false"' --customize-hook='rm "$1/etc/apt/apt.conf.d/99mmdebstrap"' \
        "$suite" - "$work/sources.list" 2>"$work/log" |
        docker import -c 'LABEL org.container-portal.standin=true' \
            -c "LABEL org.container-portal.standin.recipe=$recipe" -c 'CMD ["bash"]' - "$1" >/dev/null ||
        { tail -5 "$work/log" >&2; die "mmdebstrap failed."; }
}

standin() {
    local here
    ensure_base debian:bookworm-slim
    here=$(cd "$(dirname "$0")/../../deployment/base" && pwd)
    cp /usr/local/share/ca-certificates/*.crt "$here/certs/" 2>/dev/null || true
    docker build -q -t "$1" --label "org.container-portal.standin.recipe=$recipe" -f "$here/Dockerfile.$2" "$here" >"$pull_log" 2>&1 ||
        { tail -20 "$pull_log" >&2; die "making the stand-in for $1 failed."; }
}

case ${1:-} in
up)
    ensure_engine
    ensure_plugins
    ensure_base debian:trixie-slim
    ;;
base)
    live || die "No Docker Engine answers. Run engine.sh up first."
    shift
    for name in "$@"; do ensure_base "$name"; done
    ;;
down)
    if [ -f "$pid_file" ]; then
        pid=$(cat "$pid_file")
        if kill "$pid" 2>/dev/null; then
            say "Stopping the Docker Engine that was started here ..."
            tail --pid="$pid" -f /dev/null
            rm -f "$pid_file"
        elif [ -d "/proc/$pid" ]; then
            say "Leaving the Docker Engine on: it was started by another user."
        else
            rm -f "$pid_file" 2>/dev/null || true # it ended by itself
        fi
    fi
    ;;
*) die "usage: engine.sh up|base NAME …|down" ;;
esac
