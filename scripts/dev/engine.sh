#!/usr/bin/env bash
# What `make demo` and `make test` need of Docker: a live engine, Compose v2, base images.
#
#   engine.sh up      uses the engine that is there; on a bare Debian machine, as root, installs
#                     and starts one. Brings Compose v2 and the base images (stand-ins offline).
#   engine.sh down    stops the engine that `up` started; leaves any other alone.
set -euo pipefail

pid_file=/run/container-portal-dockerd.pid
log_file=/var/log/container-portal-dockerd.log
plugin_dir=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
started=$SECONDS

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

ensure_engine() {
    if live; then
        say "Docker Engine $(docker version --format '{{.Server.Version}}') is running; using it."
        return
    fi
    need_root_debian "No Docker Engine answers."
    if ! command -v dockerd >/dev/null; then
        say "Installing Docker Engine (Debian's docker.io) ..."
        apt_install docker.io iptables ca-certificates
    fi
    if ! command -v iptables >/dev/null; then apt_install iptables; fi
    live && return # some installs start it
    say "Starting Docker Engine ..."
    rm -f /var/run/docker.pid
    setsid dockerd --storage-driver=overlay2 --pidfile="$pid_file" >"$log_file" 2>&1 </dev/null &
    local waited
    for waited in $(seq 1 60); do
        if live; then say "Docker Engine is up."; return; fi
        read -rt 0.5 <> <(:) || true
    done
    tail -20 "$log_file" >&2
    die "Docker Engine did not come up within $((waited / 2)) s; its log is above."
}

ensure_compose() {
    if docker compose version >/dev/null 2>&1; then return; fi
    need_root_debian "Docker Compose v2 is missing."
    say "Fetching Docker Compose v2 (Debian 13's package, unpacked into $plugin_dir) ..."
    local work site
    work=$(mktemp -d)
    chmod 755 "$work"
    # shellcheck disable=SC2016  # apt's placeholder, not the shell's
    site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v -- -security | sort -u | head -1)
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$plugin_dir"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site trixie main" >"$work/list"
    local options=(-qq -o "Dir::Etc::sourcelist=$work/list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
        -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    (cd "$work" && apt-get "${options[@]}" update && apt-get "${options[@]}" download docker-compose)
    dpkg -x "$work"/docker-compose_*.deb "$work/x"
    install -m 0755 "$work/x/usr/libexec/docker/cli-plugins/docker-compose" "$plugin_dir/docker-compose"
    rm -rf "$work"
    docker compose version >/dev/null || die "Docker Compose v2 could not be installed."
}

# A base image: there already, pulled, or a stand-in made here and labelled as one.
ensure_base() {
    local name=$1 make_standin=$2
    if docker image inspect "$name" >/dev/null 2>&1; then return; fi
    say "Pulling $name ..."
    if limited 120 docker pull -q "$name" >/dev/null 2>&1; then return; fi
    say "  no registry reachable: making a STAND-IN for $name from Debian's packages"
    "$make_standin" "$name"
}

standin_debian() {
    need_root_debian "A stand-in for $1 needs debootstrap."
    command -v debootstrap >/dev/null || apt_install debootstrap
    local work
    work=$(mktemp -d)
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work" >"$work.log" 2>&1 ||
        { tail -5 "$work.log" >&2; die "debootstrap failed."; }
    rm -rf "$work"/var/cache/apt/archives/*.deb "$work"/var/lib/apt/lists/*
    tar -C "$work" -c . | docker import -c 'LABEL org.container-portal.standin=true' -c 'CMD ["bash"]' - "$1" >/dev/null
    rm -rf "$work" "$work.log"
}

standin_python() {
    local here
    here=$(cd "$(dirname "$0")/../../deployment/base" && pwd)
    docker build -q -t "$1" -f "$here/Dockerfile.python" "$here" >/dev/null 2>&1 ||
        docker build -t "$1" -f "$here/Dockerfile.python" "$here"
}

case ${1:-} in
up)
    ensure_engine
    ensure_compose
    ensure_base debian:bookworm-slim standin_debian
    ensure_base python:3.11-slim standin_python
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
*) die "usage: engine.sh up|down" ;;
esac
