#!/bin/bash
# A health check that costs next to nothing while all is well:
#
#   healthy.sh tcp PORT | http PORT PATH | run COMMAND …      (nginx listens on PORTAL_BIND; the others everywhere)
#
# Docker runs a check every second until it passes, so that a service counts as soon as it answers. From then on the
# check first holds for a while and then asks: one shell that sleeps instead of a new process every second. (Docker's
# own start_interval would do, but needs Engine 25.) When it fails, the next ones ask at once again.
set -u
hold_s=45
mark=/tmp/.healthy

# When this container's first process started (proc(5), field 22): a mark from before a restart does not count.
read -ra stat </proc/1/stat
started=${stat[21]}
if [ "$(cat "$mark" 2>/dev/null)" = "$started" ]; then sleep "$hold_s"; fi
rm -f "$mark"

case $1 in
run) "${@:2}" || exit 1 ;;
tcp) exec 3<>"/dev/tcp/${PORTAL_BIND:-127.0.0.1}/$2" || exit 1 ;;
http)
    exec 3<>"/dev/tcp/127.0.0.1/$2" || exit 1
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$3" >&3
    read -rt 3 -u 3 _ status _ || exit 1
    [ "$status" = 200 ] || exit 1
    ;;
*) exit 2 ;;
esac
printf '%s' "$started" >"$mark"
