# shellcheck shell=bash
# Reads a .env file as Docker Compose reads it. Sourced by setup-vm.sh and health-check.sh.

# read_env FILE: its PORTAL_… and COMPOSE_… lines become variables, where the environment has none. The lines are
# settings, never commands. Source: Compose's reference, "Syntax for environment variables in .env files".
read_env() {
    local line name
    [ -f "$1" ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?((PORTAL|COMPOSE)_[A-Z_]+)=(.*)$ ]] || continue
        name=${BASH_REMATCH[2]}
        [ -n "${!name+set}" ] || printf -v "$name" %s "$(env_value "${BASH_REMATCH[4]}")"
    done <"$1"
}

env_value() { # TEXT: without quotes, or without what follows " #"
    local text=${1%$'\r'}
    case "$text" in
    \"*) text=${text#\"} text=${text%%\"*} ;;
    \'*) text=${text#\'} text=${text%%\'*} ;;
    *)
        text=${text%%[[:space:]]#*}
        text=${text%"${text##*[![:space:]]}"}
        ;;
    esac
    printf %s "$text"
}
