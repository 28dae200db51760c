# shellcheck shell=bash
# Reads a .env file as Docker Compose reads it. Sourced by setup-vm.sh and health-check.sh.

# read_env FILE: its PORTAL_… and COMPOSE_… lines become variables, where the environment has none; of two lines of one
# name the last counts. The lines are settings, never commands. Source: Compose's reference, "Syntax for environment
# variables in .env files".
read_env() {
    local line name given
    [ -f "$1" ] || return 0
    given=" $(compgen -v | tr '\n' ' ')"
    while IFS= read -r line || [ -n "$line" ]; do
        [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?((PORTAL|COMPOSE)_[A-Z0-9_]+)[[:space:]]*=[[:space:]]*(.*)$ ]] || continue
        name=${BASH_REMATCH[2]}
        [[ $given = *" $name "* ]] || printf -v "$name" %s "$(env_value "${BASH_REMATCH[4]}")"
    done <"$1"
}

env_value() { # TEXT: without quotes, or without what follows " #"; with other variables put in, but for '…'
    local text=${1%$'\r'} double='^"(([^"\\]|\\.)*)"' name
    if [[ $text =~ $double ]]; then
        text=${BASH_REMATCH[1]//\\\"/\"}
        text=${text//\\\\/\\}
    elif [[ $text = \'* ]]; then
        text=${text#\'}
        printf %s "${text%%\'*}"
        return
    else
        [[ $text != \#* ]] || text=
        text=${text%%[[:space:]]#*}
        text=${text%"${text##*[![:space:]]}"}
    fi
    while [[ $text =~ \$\{([A-Za-z_][A-Za-z0-9_]*)\} ]]; do
        name=${BASH_REMATCH[1]}
        text=${text/"${BASH_REMATCH[0]}"/"${!name:-}"}
    done
    printf %s "$text"
}
