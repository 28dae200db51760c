#!/bin/bash
# Ends the connections, on users' ports, of people who may no longer come in, and nobody else's: once a second it asks
# authz about the ports that have any, and has the kernel end them (ss -K). In the gateway's network, with NET_ADMIN.
set -u
# What only an administrator of the network may do. Nothing else is kept.
if [ "$(id -u)" = 0 ]; then
    chmod a+w /dev/stdout /dev/stderr
    exec setpriv --reuid 10002 --regid 10002 --clear-groups --inh-caps=-all,+net_admin \
        --ambient-caps=-all,+net_admin "$0"
fi
: "${PORTAL_USER_PORTS:=10000-10999}"
# Its errors are text; where compose mounts as_json.pl, they become JSON.
[ ! -r /usr/local/bin/as_json ] || exec 2> >(perl -w /usr/local/bin/as_json evictor error >&1)
# LAST_YES_S: of the gateway, which remembers one for a moment.
readonly ANSWERS_WITHIN_S=2 LAST_YES_S=3 LOOK_EVERY_S=5
: "${EVERYBODY_AGAIN_S:=30}"
: "${PORTAL_PUBLIC_PORT:=8443}" "${PORTAL_BIND:=127.0.0.1}"
first=${PORTAL_USER_PORTS%-*} last=${PORTAL_USER_PORTS#*-}
# On the host's own network others may have the same ports at other addresses: another portal, containers.
case $PORTAL_BIND in
    0.0.0.0 | '[::]' | '*') here='' ;;
    *) here="src $PORTAL_BIND and " ;;
esac
# Where containers have names, people's connections all come by one port. Behind them are the gateway's own to VMs, at
# the ports of each; with them nginx ends the others.
side=sport theirs=$here
[ "${PORTAL_ADDRESSING:-ports}" != names ] || side=dport theirs=''
host=${PORTAL_GATEWAY_HOST:-${PORTAL_PUBLIC_HOST:-}}
PROXY_SECRET=$(cat /run/secrets/proxy_secret) || exit 1

# The hundreds of ports, each once, that have open connections, as ports=10000@1795975200,10300@0: each with since when
# it has had some, which is not known (0) of what was open at the first look. One process a second is all that this
# costs.
open_ports() {
    local local_end far_end port hundred
    local -A before=()
    for hundred in ${!open_since[*]}; do before[$hundred]=${open_since[$hundred]}; done
    open_since=()
    while read -r _ _ local_end far_end _; do
        [ "$side" = sport ] || local_end=$far_end
        port=${local_end##*:} hundred=$((port - port % 100))
        open_since[$hundred]=${before[$hundred]:-$now}
    done < <(exec ss -Htn state established "$theirs( $side >= :$first and $side <= :$last )")
    ports='' now=$EPOCHSECONDS
    for hundred in ${!open_since[*]}; do ports+=$hundred@${open_since[$hundred]},; done
}
# ask REPLICA: the ports whose connections must end, as lines "10000 10099"; then "answered".
ask() {
    local line body='' status=''
    exec {authz}<>"/dev/tcp/$1/8000" || return 1
    printf 'GET /evictions?open=%s&gateway=%s&host=%s HTTP/1.0\r\nX-Proxy-Secret: %s\r\n\r\n' \
        "$ports" "$gateway" "$host" "$PROXY_SECRET" >&"$authz"
    while IFS= read -rt $ANSWERS_WITHIN_S -u "$authz" line || [ -n "$line" ]; do
        line=${line%$'\r'}
        [ -n "$status" ] || status=$line
        [ -z "$body" ] || echo "$line"
        [ -n "$line" ] || body=1
    done
    exec {authz}>&-
    [[ $status != *" 200 "* ]] || echo answered
}
# Of all replicas at once: each asks a responder about cards by itself, and what one knows, another may not.
ask_all() {
    local replica
    while read -r replica; do ask "$replica" & done </run/names/authz
    wait
}
# Whether this kernel ends single connections (INET_DIAG_DESTROY): one to itself is tried.
ends_single_ones() {
    perl -MIO::Socket::INET -MErrno -e '
        my $server = IO::Socket::INET->new( Listen => 1, LocalAddr => "127.0.0.1" ) or exit 1;
        my $client = IO::Socket::INET->new( PeerAddr => "127.0.0.1", PeerPort => $server->sockport ) or exit 1;
        system( "ss", "-HKtn", "dport = :" . $server->sockport );
        $client->blocking(0);
        exit( defined( sysread $client, my $nothing, 1 ) || $!{EAGAIN} ? 1 : 0 )' >/dev/null 2>&1
}
end() { # end FIRST LAST
    if [ -z "$single" ]; then
        asked+=" $1-$2"
        : "${asked_at:=$SECONDS}"
        return
    fi
    ss -HKtn "$theirs( $side >= :$1 and $side <= :$2 )" >/dev/null
    told "$1-$2"
}
# Everybody's at once, where single ones cannot be ended: not before the last yes is over, or they were made anew; not
# all the time; and nobody is forgotten who was to go meanwhile.
end_everybodys() {
    ((SECONDS - asked_at >= LAST_YES_S && SECONDS - everybody_at >= EVERYBODY_AGAIN_S)) || return 0
    everybody_at=$SECONDS
    printf '%s\n' "$EPOCHREALTIME" >/run/names/everybody # entrypoint.sh sees it
    told "everybody's, for $(tr ' ' '\n' <<<"${asked# }" | sort -u | paste -sd ' ')"
    asked='' asked_at=''
}
told() {
    printf '{"timestamp":"%s","level":"info","event":"connections_ended","ports":"%s"}\n' "$(date -u +%FT%TZ)" "$1"
}
single=1 everybody_at=-$EVERYBODY_AGAIN_S asked='' asked_at=''
declare -A open_since=()
now=0 gateway=$EPOCHREALTIME # who began anew does not know what is open, and for authz is somebody else
if ! ends_single_ones; then
    single=
    echo "This kernel ends no single connections (INET_DIAG_DESTROY): when somebody must leave, everybody's connections" \
        "to notebooks end for a moment." >&2
fi

trap 'exit 0' TERM INT # the first process of a container is not ended by them otherwise
exec {never}<> <(:) # nothing ever comes from it: a second goes by without a process that sleeps
silent=0 idle=0 alone=0
while :; do
    read -rt 1 -u "$never" || true
    [ -z "$asked" ] || end_everybodys
    open_ports
    if [ -z "$ports" ]; then
        # Where nginx has a network of its own and was started again, this is still in the one of before.
        ((++idle % LOOK_EVERY_S == 0)) || continue
        if [ -n "$(ss -Hltn "${here}sport = :$PORTAL_PUBLIC_PORT")" ]; then
            alone=0
        elif ((++alone == 2)); then
            echo "Nothing listens on port $PORTAL_PUBLIC_PORT here; starting again, to look for nginx." >&2
            exit 1
        fi
        continue
    fi
    answers=$(ask_all 2>/dev/null)
    while read -r from to; do
        [ -z "$to" ] || end "$from" "$to"
    done < <(sort -u <<<"$answers")
    if [[ $answers = *answered* ]]; then
        silent=0
    elif ((++silent == 10)); then
        echo "authz does not say whose connections must end. They go on until it does." >&2
    fi
done
