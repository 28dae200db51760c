#!/bin/bash
# The password comes as a secret file; the registry wants it hashed. It never is an argument.
set -eu
umask 077
# What it says before it has read its configuration is text: JSON, as all the rest.
as_json() {
    # shellcheck disable=SC2016  # Perl's variables
    perl -we '
        while (my $line = <STDIN>) {
            if ($line =~ /^\{".*\}$/) { syswrite STDOUT, $line; next }
            chomp $line;
            $line =~ s/[\x80-\xff]/?/g if $line =~ /\xed[\xa0-\xbf]|\xf4[\x90-\xff]|[\xf5-\xff]/ || !utf8::decode(my $copy = $line); # no UTF-8
            $line =~ s/[\x00-\x1f\x7f]/ /g;
            $line =~ s/(["\\])/\\$1/g;
            my ($s, $m, $h, $day, $month, $year) = gmtime;
            my $at = sprintf "%d-%02d-%02dT%02d:%02d:%02dZ", $year + 1900, $month + 1, $day, $h, $m, $s;
            syswrite STDOUT, qq({"level":"info","msg":"$line","time":"$at"}\n);
        }'
}
htpasswd -iBn "${PORTAL_REGISTRY_USERNAME:-portal}" < /run/secrets/registry_password > /tmp/htpasswd
exec docker-registry serve /etc/docker/registry/config.yml 2> >(as_json)
