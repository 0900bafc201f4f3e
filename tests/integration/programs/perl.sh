# Forks, pipes, sockets, sorting, alarms; perl's own digest.
cat >job.pl <<'P'
use strict; use warnings; use Digest::SHA 'sha256_hex'; use IO::Socket::UNIX; use POSIX ':sys_wait_h'; use File::Find;
$| = 1;
my %count;
$count{length sprintf '%b', $_}++ for 1 .. 5000;
print join(',', map { "$_:$count{$_}" } sort { $a <=> $b } keys %count), "\n";
pipe my $in, my $out;
for my $n (1 .. 5) { next if fork; close $in; syswrite $out, sprintf "%04d\n", $n ** 4; POSIX::_exit($n) }
close $out;
print sort <$in>;
my $codes = 0;
while ((my $pid = wait) > 0) { $codes += $? >> 8 }
print "children's codes $codes\n";
my $server = IO::Socket::UNIX->new(Local => 'socket', Listen => 1) or die $!;
if (!fork) { my $s = IO::Socket::UNIX->new(Peer => 'socket'); print $s "hello\n"; print uc <$s>; exit }
my $s = $server->accept; my $line = <$s>; print $s scalar reverse $line; close $s; wait;
print "\n", sha256_hex('perl' x 1000), "\n";
local $SIG{ALRM} = sub { die "alarm\n" };
eval { alarm 1; select undef, undef, undef, 10; }; print "caught $@";
open my $ls, '-|', 'ls', '-1', '.' or die; my @names = <$ls>; print scalar(@names) > 3 ? "listed\n" : "not listed\n";
print `echo $0 in backticks`;
P
perl job.pl
perl -ne '$n += length; END { print "$n\n" }' job.pl
perl -pe 's/(\w+)/\u$1/g' <<<"each word of it"
