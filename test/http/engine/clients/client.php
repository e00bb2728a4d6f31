<?php
// Streams and curl: `php client.php streams|cut URL COUNT`.
[, $mode, $url, $count] = $argv;
if ($mode === 'cut') {
    $socket = stream_socket_client(str_replace('http:', 'tcp:', $url));
    fwrite($socket, "POST /loud/cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" . str_repeat('x', 100000));
    posix_kill(getmypid(), 9);
}
for ($n = 0; $n < $count; $n++) {
    $body = str_repeat('x', 5000);
    $options = $n % 2 === 0 ? [] : ['method' => 'POST', 'content' => $body, 'header' => 'Content-Type: text/plain'];
    $version = $n % 4 < 2 ? '1.0' : '1.1';
    $context = stream_context_create(['http' => $options + ['protocol_version' => $version]]);
    $text = file_get_contents("$url/loud/$n", false, $context);
    if ($text !== "answer to /$n") exit("$n: $text\n");
}
echo "done\n";
