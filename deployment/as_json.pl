#!/usr/bin/perl -w
# What nginx and the registry say as text becomes the log of everything else: a line of JSON each, in UTF-8. What is JSON
# passes. Each line is one write of less than 4,096 bytes, which no other process's can run into (pipe(7), PIPE_BUF).
#
#   as_json.pl EVENT LEVEL      (LEVEL: of lines that name none)
use strict;

my ( $event, $usual ) = @ARGV;
while ( defined( my $message = <STDIN> ) ) {
    chomp $message;
    if ( $message =~ /^\{".*\}$/ ) { syswrite STDOUT, "$message\n"; next }
    my $level = $usual;
    # nginx: date time [level] process: message; before it has read its configuration, nginx: [level] message
    ( $level, $message ) = ( $1, $2 ) if $message =~ m{^(?:[\d/]+ [\d:]+|nginx:) \[([a-z]+)\] (.*)}s;
    $message = substr $message, 0, 1900;
    # Bytes that are no UTF-8 (RFC 3629, section 4) would be no JSON.
    $message =~ s/[\x80-\xff]/?/g
      if $message =~ /\xed[\xa0-\xbf]|\xf4[\x90-\xff]|[\xf5-\xff]/ || !utf8::decode( my $copy = $message );
    $message =~ s/[\x00-\x1f\x7f]/ /g;
    $message =~ s/(["\\])/\\$1/g;
    my ( $s, $m, $h, $day, $month, $year ) = gmtime;
    my $at = sprintf "%d-%02d-%02dT%02d:%02d:%02d+00:00", $year + 1900, $month + 1, $day, $h, $m, $s;
    syswrite STDOUT, qq({"timestamp":"$at","level":"$level","event":"$event","message":"$message"}\n);
}
