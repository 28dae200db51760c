# shellcheck shell=bash
# Reads a .env file as Docker Compose reads it. Sourced by setup-vm.sh and health-check.sh.

# read_env FILE: its PORTAL_… and COMPOSE_… lines become variables, where the environment has none; of two lines of one
# name the last counts. The lines are settings, never commands. Fails, in words, on what it cannot read as Compose does.
# Source: Compose's reference, "Syntax for environment variables in .env files".
read_env() {
    local line name value quoted number=0
    local -A env_given=() env_file=() # seen by env_expand
    [ -f "$1" ] || return 0
    while read -r name; do env_given[$name]=1; done < <(compgen -e)
    # shellcheck disable=SC2094 # its name is for messages
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1)) line=${line#$'\xef\xbb\xbf'} line=${line%$'\r'}
        [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)[[:space:]]*[=:][[:space:]]*(.*)$ ]] || continue
        name=${BASH_REMATCH[2]} value=${BASH_REMATCH[3]} quoted=$number
        until env_is_whole "$value"; do
            IFS= read -r line || env_refuse "$1" "$quoted" "a quote that does not end" || return
            number=$((number + 1)) value+=$'\n'${line%$'\r'}
        done
        env_value "$value" || env_refuse "$1" "$quoted" "the value of $name" || return
        env_file[$name]=$value
    done <"$1"
    for name in ${env_file[@]+"${!env_file[@]}"}; do
        [[ $name =~ ^(PORTAL|COMPOSE)_ && -z ${env_given[$name]:-} ]] || continue
        printf -v "$name" %s "${env_file[$name]}"
    done
}

env_double='^"(([^"\\]|\\.)*)"' env_single="^'(([^'\\\\]|\\\\.)*)'"
env_is_whole() { # TEXT: no quote in it waits for its end
    [[ $1 != [\"\']* || $1 =~ $env_double || $1 =~ $env_single ]]
}
env_refuse() { # FILE LINE WHAT
    echo "error: $1, line $2: $3 cannot be read here. Write it plainly, or set the variable in the environment." >&2
    return 1
}

env_value() { # TEXT -> value: without quotes and comments; with other variables put in, but for '…'
    local text=$1
    if [[ $text =~ $env_single ]]; then
        value=${BASH_REMATCH[1]//\\\'/\'}
        return
    elif [[ $text =~ $env_double ]]; then
        text=${BASH_REMATCH[1]} value=
        while [[ $text =~ ^([^\\]*)\\(.)(.*)$ ]]; do
            value+=${BASH_REMATCH[1]} text=${BASH_REMATCH[3]}
            case ${BASH_REMATCH[2]} in
            n) value+=$'\n' ;;
            r) value+=$'\r' ;;
            t) value+=$'\t' ;;
            \" | \\) value+=${BASH_REMATCH[2]} ;;
            \$) value+='$$' ;;
            *) value+=\\${BASH_REMATCH[2]} ;;
            esac
        done
        text=$value$text
    else
        [[ $text != \#* ]] || text=
        text=${text%% #*}
        text=${text%"${text##*[![:space:]]}"}
    fi
    env_expand "$text"
}

env_expand() { # TEXT -> value: $NAME, ${NAME}, ${NAME-default}, ${NAME:-default}, and $$ for $; fails on other ${…}
    local rest=$1 name default now
    value=
    while [[ $rest =~ ^([^$]*)\$(.*)$ ]]; do
        value+=${BASH_REMATCH[1]} rest=${BASH_REMATCH[2]} default=
        if [[ $rest = \$* ]]; then
            value+='$' rest=${rest#\$}
            continue
        elif [[ $rest =~ ^\{([A-Za-z_][A-Za-z0-9_]*)((:?-)([^\$\{\}]*))?\}(.*)$ ]]; then
            name=${BASH_REMATCH[1]} default=${BASH_REMATCH[4]} now=${BASH_REMATCH[3]} rest=${BASH_REMATCH[5]}
        elif [[ $rest =~ ^([A-Za-z_][A-Za-z0-9_]*)(.*)$ ]]; then
            name=${BASH_REMATCH[1]} now='' rest=${BASH_REMATCH[2]}
        elif [[ $rest = \{* ]]; then
            return 1
        else
            value+='$'
            continue
        fi
        if [ -n "${env_given[$name]:-}" ]; then
            [ "$now" = :- ] && value+=${!name:-$default} || value+=${!name}
        elif [ -n "${env_file[$name]+set}" ]; then
            [ "$now" = :- ] && value+=${env_file[$name]:-$default} || value+=${env_file[$name]}
        else
            value+=$default
        fi
    done
    value+=$rest
}
