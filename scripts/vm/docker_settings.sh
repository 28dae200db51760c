# shellcheck shell=bash
# Docker's settings are changed so that a Docker that ran before runs afterwards. Sourced by setup-vm.sh and
# install-nvidia.sh, after steps.sh.

# change_daemon_json COMMAND …, which writes /etc/docker/daemon.json. What the engine refuses is put back.
change_daemon_json() {
    local before file=/etc/docker/daemon.json
    before=$(mktemp)
    if [ -e $file ]; then cp -p $file "$before"; else rm "$before"; fi
    if ! "$@" || ! valid_daemon_json; then put_back_daemon_json "$before"; return 1; fi
    if ! restart_docker; then
        journalctl --unit docker.service --lines 8 --no-pager >&2
        put_back_daemon_json "$before"
        systemctl reset-failed docker.service
        systemctl start docker
        return 1
    fi
    rm -f "$before"
}

# With live-restore containers go on: it counts once settings are read again. Where Docker does not run, it reads them
# when it starts.
restart_docker() {
    systemctl is-active --quiet docker || return 0
    systemctl reload docker
    systemctl reset-failed docker.service 2>/dev/null # systemd counts restarts, somebody's of a moment ago too
    systemctl restart docker
}

# Engine 23 and newer can say so without a restart.
valid_daemon_json() {
    have_commands dockerd && [[ $(dockerd --help 2>&1) == *--validate* ]] || return 0
    quietly dockerd --validate --config-file /etc/docker/daemon.json
}

put_back_daemon_json() { # FILE, which is not there where there was none
    if [ -e "$1" ]; then mv "$1" /etc/docker/daemon.json; else rm -f /etc/docker/daemon.json; fi
    echo "Docker refuses these settings; the previous ones are back in place." >&2
}
