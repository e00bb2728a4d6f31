<?php
// Streams, which know no expectation and no chunks, or curl: `php client.php streams|curl URL STEP...`.
[, $library, $url] = $argv;
ini_set('display_errors', '0');
$curl = curl_init();

function ask($method, $path, $kind = '', $size = 0) {
    global $library, $url, $curl;
    if (str_starts_with($kind, 'stall') || ($library === 'streams' && in_array($kind, ['chunks', 'expect']))) return 'cannot';
    $body = $kind === '' ? [] : [str_repeat('x', $size)];
    $headers = ['Content-Type: text/plain', ...($kind === 'expect' ? ['Expect: 100-continue'] : ['Expect:'])];
    if ($library === 'streams') {
        static $asked = 0;
        $options = ['method' => $method, 'ignore_errors' => true, 'header' => 'Content-Type: text/plain'];
        if ($body) $options['content'] = $body[0];
        $context = stream_context_create(['http' => $options + ['protocol_version' => $asked++ % 4 < 2 ? '1.0' : '1.1']]);
        $text = file_get_contents($url . $path, false, $context);
        $status = explode(' ', $http_response_header[0] ?? 'HTTP/1.1 0')[1];
    } else {
        if ($kind === 'chunks') $headers[] = 'Transfer-Encoding: chunked';
        curl_reset($curl);
        curl_setopt_array($curl, [CURLOPT_URL => $url . $path, CURLOPT_RETURNTRANSFER => true, CURLOPT_HTTPHEADER => $headers,
            CURLOPT_CUSTOMREQUEST => $method, CURLOPT_NOBODY => $method === 'HEAD']);
        if ($body) curl_setopt($curl, CURLOPT_POSTFIELDS, $body[0]);
        $text = curl_exec($curl);
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    }
    return $text === false ? 'error' : "$status " . strlen($text) . (strlen($text) < 40 ? " $text" : '');
}

foreach (array_slice($argv, 3) as $step) {
    $words = explode(' ', $step);
    if ($words[0] === 'wait') usleep($words[1] * 1000);
    else echo ask(...$words), "\n";
}
