#!/bin/bash
# Writes nginx's configuration from the settings and the secret, and becomes nginx. Beside it, a loop follows the
# addresses of authz, api and ui, which names.sh writes.
set -eu

# What only root may do: ports below 1024. Nothing else is kept.
if [ "$(id -u)" = 0 ]; then
    chmod a+w /dev/stdout /dev/stderr # root's pipes, which nginx opens by name
    exec setpriv --reuid 10002 --regid 10002 --clear-groups --inh-caps=-all,+net_bind_service \
        --ambient-caps=-all,+net_bind_service "$0"
fi

: "${PORTAL_BIND:=127.0.0.1}" "${PORTAL_PUBLIC_HOST:=localhost}" "${PORTAL_PUBLIC_PORT:=8443}" "${PORTAL_USER_PORTS:=10000-10999}"
# Its errors are text; where compose mounts as_json.pl, they become JSON.
if [ -r /usr/local/bin/as_json ]; then
    exec 2> >(perl -w /usr/local/bin/as_json nginx error >&1)
    json=$!
    # Where it does not come to nginx, why is still on its way when this ends.
    trap 'exec 2>&-; wait "$json" || true' EXIT
fi

# What nginx itself needs; the services check more.
are_ports() {
    [[ $1-$2 =~ ^[1-9][0-9]{0,4}-[1-9][0-9]{0,4}-[1-9][0-9]{0,4}$ ]] || return 1
    local first=${2%-*} last=${2#*-}
    ((first < last && last <= 65535 && $1 <= 65535 && ($1 < first || $1 > last)))
}
if ! are_ports "$PORTAL_PUBLIC_PORT" "$PORTAL_USER_PORTS"; then
    echo "PORTAL_PUBLIC_PORT is a port, PORTAL_USER_PORTS are two others, as 10000-10999: not '$PORTAL_PUBLIC_PORT' and" \
        "'$PORTAL_USER_PORTS'. Change them in .env; then: docker compose up -d" >&2
    exit 1
fi
: "${PORTAL_MORE_HOSTS:=}" "${PORTAL_GATEWAY_HOST:=}" "${PORTAL_ADDRESSING:=ports}" "${PORTAL_APPS_DOMAIN:=}"
: "${PORTAL_CLASSIFICATION:=}" "${PORTAL_CLASSIFICATION_COLOUR:=#007a33}"
COLOUR=$PORTAL_CLASSIFICATION_COLOUR
if [[ ! $PORTAL_CLASSIFICATION =~ ^[A-Za-z0-9\ /,.()-]{0,60}$ || ! $COLOUR =~ ^#[0-9A-Fa-f]{6}$ ]]; then
    echo "PORTAL_CLASSIFICATION is up to 60 letters, digits, blanks and /,.()-, its colour like #007a33: not" \
        "'$PORTAL_CLASSIFICATION' and '$COLOUR'. Change them in .env; then: docker compose up -d" >&2
    exit 1
fi
# Black on what is bright, as Settings.classification_ink.
INK=#ffffff
((16#${COLOUR:1:2} * 299 + 16#${COLOUR:3:2} * 587 + 16#${COLOUR:5:2} * 114 <= 150000)) || INK=#000000
PROXY_SECRET=$(cat /run/secrets/proxy_secret)
# The names that this gateway answers to, and the one that it is. As nginx's $host has them, and as a regular expression;
# an address is known there anyway.
read -ra hosts <<<"${PORTAL_PUBLIC_HOST,,} ${PORTAL_MORE_HOSTS//,/ }"
HOSTS=$(IFS=, && echo "${hosts[*]}")
[[ $HOSTS =~ ^[a-z0-9._-]+(,[a-z0-9._-]+)*$ ]] || HOSTS=localhost
GATEWAY_HOST=${PORTAL_GATEWAY_HOST:-${HOSTS%%,*}}
if [[ ,$HOSTS, != *,"$GATEWAY_HOST",* ]]; then
    echo "PORTAL_GATEWAY_HOST is which of PORTAL_PUBLIC_HOST and PORTAL_MORE_HOSTS ($HOSTS) this gateway is: not" \
        "'$GATEWAY_HOST'. Change it in .env; then: docker compose up -d" >&2
    exit 1
fi
HOSTS=${HOSTS//./\\.}
HOSTS=${HOSTS//,/|}
# Names instead of ports: all come by the portal's own port, below a domain of their own.
APPS_DOMAIN='' SERVER_NAME=''
if [ "$PORTAL_ADDRESSING" = names ]; then
    if [[ ! $PORTAL_APPS_DOMAIN =~ ^[a-z0-9-]+(\.[a-z0-9-]+)+$ ]]; then
        echo "PORTAL_ADDRESSING=names needs PORTAL_APPS_DOMAIN, as apps.example.mil: not '$PORTAL_APPS_DOMAIN'." \
            "Change it in .env; then: docker compose up -d" >&2
        exit 1
    fi
    # One connection of HTTP/2 would be used for both, and nginx refuses it for the second name.
    if openssl x509 -in /run/secrets/server_cert -noout -checkhost "some.$PORTAL_APPS_DOMAIN" | grep -q 'does match'; then
        echo "The portal's certificate (server_cert) also names *.$PORTAL_APPS_DOMAIN: containers need a certificate of" \
            "their own (apps_cert, apps_key), and this one without that name." >&2
        exit 1
    fi
    if ! openssl x509 -in /run/secrets/apps_cert -noout -checkhost "some.$PORTAL_APPS_DOMAIN" | grep -q 'does match'; then
        echo "The containers' certificate (apps_cert) does not name *.$PORTAL_APPS_DOMAIN." >&2
        exit 1
    fi
    APPS_DOMAIN=${PORTAL_APPS_DOMAIN//./\\.}
    SERVER_NAME="server_name ~^[a-z0-9-]+\\.$APPS_DOMAIN\$; ssl_certificate /run/secrets/apps_cert; ssl_certificate_key /run/secrets/apps_key;"
    HOSTS+="|[a-z0-9-]+\\.$APPS_DOMAIN"
    PORTAL_USER_PORTS=$PORTAL_PUBLIC_PORT-$PORTAL_PUBLIC_PORT
fi
WORKERS=$(nproc)
[ "$WORKERS" -le 16 ] || WORKERS=16
# nginx compares each port of its configuration with all before it: 55,500 would take it 5 s to read, 10,000 a fifth of
# a second. So each nginx has at most so many, and further ones of their own listen beside the first.
readonly PORTS_EACH=10000
ulimit -n "$(ulimit -Hn)" # every listener and connection is a file
umask 077
cd /etc/portal-nginx

# One nginx: its folder, its ports.
configure() {
    export PORTAL_CLASSIFICATION COLOUR INK
    export PORTAL_BIND PORTAL_PUBLIC_PORT HOSTS GATEWAY_HOST APPS_DOMAIN SERVER_NAME PROXY_SECRET WORKERS RUN=$1 PORTS=$2-$3 CONNECTIONS=$(($3 - $2 + 8192))
    [ "$2" != "$3" ] || PORTS=$2
    mkdir -p "$RUN"
    # The names are for envsubst, which leaves nginx's own variables alone.
    # shellcheck disable=SC2016
    envsubst '$PORTAL_BIND $HOSTS $APPS_DOMAIN $SERVER_NAME $PORTS $CONNECTIONS $WORKERS $RUN $PORTAL_CLASSIFICATION $COLOUR $INK' <nginx.conf.template >"$RUN/nginx.conf"
}

# Of a service: all replicas there are now. Where none is known yet, nginx says that the portal is away.
servers() {
    local address known=
    while read -r address; do
        known=1
        echo "    server $address:$2 max_fails=1 fail_timeout=1s;"
    done 2>/dev/null <"/run/names/$1" || true
    [ -n "$known" ] || echo "    server unix:/run/nginx/nobody.sock;"
}
# $whose: see nginx.conf.template.
upstreams() {
    printf 'upstream authz {\n%s\n    keepalive 32;\n}\n' "$(servers authz 8000)"
    printf 'upstream api {\n%s\n    keepalive 32;\n}\n' "$(servers api 8000)"
    # shellcheck disable=SC2016  # nginx's variable
    printf 'upstream ui {\n    hash $whose consistent;\n%s\n    keepalive 32;\n}\n' "$(servers ui 8501)"
}
reload() {
    local one
    for one in "${nginxes[@]}"; do nginx -t -q -c "$one/nginx.conf" || return 1; done
    for one in "${nginxes[@]}"; do nginx -s reload -c "$one/nginx.conf" || return 1; done
}
# All that names.sh writes, without a process of its own: this is done every second.
all_names() {
    local service lines
    known=
    for service in authz api ui; do
        lines=()
        mapfile -t lines 2>/dev/null <"/run/names/$service" || true
        known+="$service ${lines[*]};"
    done
}
# Where the kernel ends no single connection, evict.sh asks for the end of all: people's pages connect anew by themselves.
end_everybodys() {
    local one master process children old=()
    for one in "${nginxes[@]}"; do
        master=$(cat "$one/nginx.pid") || return 0
        read -ra children <"/proc/$master/task/$master/children"
        for process in "${children[@]}"; do
            [ "$process" = "$BASHPID" ] || old+=("$process")
        done
    done
    reload && kill -TERM "${old[@]}"
}
follow() {
    local seen now known='' names='' never asked='' ended=''
    exec {never}<> <(:) # nothing ever comes from it: a second goes by without a process that sleeps
    now=$(cat upstreams.conf)
    read -r ended 2>/dev/null </run/names/everybody || true
    while :; do
        read -rt 1 -u "$never" || true
        read -r asked 2>/dev/null </run/names/everybody || true
        if [ "$asked" != "$ended" ]; then
            ended=$asked
            end_everybodys || true
        fi
        all_names
        [ "$known" != "$names" ] || continue
        seen=$now now=$(upstreams)
        if [ "$now" = "$seen" ]; then
            names=$known
            continue
        fi
        # Whatever fails, the loop goes on, with the file that nginx has read: then it is tried again.
        cp upstreams.conf upstreams.old || continue
        printf '%s\n' "$now" >upstreams.conf || true # half of it: nginx -t says no
        if ! reload; then
            mv upstreams.old upstreams.conf || true
            now=$seen
        else
            names=$known
        fi
    done
}

nginxes=()
last=${PORTAL_USER_PORTS#*-}
count=$(((last - ${PORTAL_USER_PORTS%-*}) / PORTS_EACH + 1))
WORKERS=$((WORKERS < 2 * count ? (WORKERS < 2 ? WORKERS : 2) : WORKERS / count)) # together as many as one would have
for ((first = ${PORTAL_USER_PORTS%-*}; first <= last; first += PORTS_EACH)); do
    end=$((first + PORTS_EACH - 1))
    nginxes+=("/run/nginx/$first")
    configure "/run/nginx/$first" "$first" "$((end < last ? end : last))"
done
# shellcheck disable=SC2016
RUN=${nginxes[0]} envsubst '$PORTAL_BIND $PORTAL_PUBLIC_PORT $RUN' <portal.conf.template >"${nginxes[0]}/portal.conf"
rm -f "${nginxes[0]}/compressed.sock" # of one that was killed
# shellcheck disable=SC2016
envsubst '$PROXY_SECRET $GATEWAY_HOST' <identity.conf.template >/run/nginx/identity.conf
upstreams >/run/nginx/upstreams.conf
trap - EXIT
(cd /run/nginx && follow) &

if [ "${#nginxes[@]}" = 1 ]; then exec nginx -c "${nginxes[0]}/nginx.conf" -g 'daemon off;'; fi
# Several: when one ends, all do, and Docker starts them again.
started=()
trap 'kill -TERM "${started[@]}"' TERM INT
trap 'kill -QUIT "${started[@]}"' QUIT
for one in "${nginxes[@]}"; do
    nginx -c "$one/nginx.conf" -g 'daemon off;' &
    started+=($!)
done
wait -n "${started[@]}" || true
kill -TERM "${started[@]}" 2>/dev/null || true
wait "${started[@]}"
