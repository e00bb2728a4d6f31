# HTTP::Tiny, which knows no expectation: `perl client.pl keep URL STEP...`.
use strict;
use HTTP::Tiny;
use Time::HiRes 'sleep';

$| = 1;
my (undef, $url, @steps) = @ARGV;
my $http = HTTP::Tiny->new(keep_alive => 1);

# A body without a length, which is sent in chunks.
sub pieces {
    my ($size, $pause_ms) = @_;
    return sub {
        sleep $pause_ms / 1000 if !$size && $pause_ms;
        my $n = $size > 100_000 ? 100_000 : $size;
        $size -= $n;
        return $n ? 'x' x $n : undef;
    };
}

sub ask {
    my ($method, $path, $kind, $size) = @_;
    return 'cannot' if $kind eq 'expect';
    my %headers = ('content-type' => 'text/plain', $kind eq 'stall' ? ('content-length' => 1000) : ());
    my $body = $kind eq 'length' ? 'x' x $size : $kind eq 'chunks' ? pieces($size, 0) : pieces(10, $size);
    my $answer = $http->request($method, "$url$path", { headers => \%headers, $kind ? (content => $body) : () });
    return "error $answer->{content}" =~ s/\n.*//sr if $answer->{status} == 599;
    my $length = length $answer->{content};
    return "$answer->{status} $length " . ($length < 40 ? $answer->{content} : '');
}

for (@steps) {
    my @words = split ' ';
    if ($words[0] eq 'wait') { sleep $words[1] / 1000 }
    else { print ask(@words), "\n" }
}
