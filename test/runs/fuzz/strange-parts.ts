import type { Choices } from './choices.js'

/** Request lines that some server somewhere takes. */
export const strangeLines: readonly string[] = [
  'OPTIONS * HTTP/1.1',
  'GET  / HTTP/1.1',
  'GET /  HTTP/1.1',
  'GET / HTTP/1.1 ',
  'GET\t/\tHTTP/1.1',
  ' GET / HTTP/1.1',
  'GET /',
  'GET / HTTP/1.1\r',
  'GET / HTTP/0.9',
  'GET / HTTP/1.2',
  'GET / HTTP/2.0',
  'GET / HTTP/01.1',
  'GET / HTTP/1.10',
  'GET / HTTP/1',
  'GET / http/1.1',
  'GET / HTTP /1.1',
  'get / HTTP/1.1',
  'GeT / HTTP/1.1',
  'PROPFIND / HTTP/1.1',
  'QUERY /echo/parsed/q HTTP/1.1',
  'TRACE / HTTP/1.1',
  'PURGE / HTTP/1.1',
  'SOURCE /a HTTP/1.1',
  'GETS / HTTP/1.1',
  'CONNECT localhost:80 HTTP/1.1',
  'POST http://localhost/echo/parsed/a HTTP/1.1',
  'POST https://user:pass@elsewhere.example:99/echo/parsed/a HTTP/1.1',
  'POST //echo/parsed/a HTTP/1.1',
  'POST echo/parsed/a HTTP/1.1',
  'POST /echo/parsed/\0 HTTP/1.1',
  'POST /echo/parsed/a b HTTP/1.1',
  'HTTP/1.1 200 OK',
  '',
  '/',
  'G'
]

type Part = (choices: Choices) => string

const of =
  (...lines: readonly string[]): Part =>
  choices =>
    choices.pick(lines)

/** Whole headers, unusual and mostly valid. */
export const strangeHeaders: readonly Part[] = [
  of('Connection: close', 'Connection: Close', 'Connection: keep-alive, close', 'connection: close , x', 'Connection:'),
  of(
    'Connection: keep-alive',
    'Connection: Keep-Alive',
    'Connection: x-foo',
    'Proxy-Connection: close',
    'Keep-Alive: 5'
  ),
  of(
    'Connection: upgrade\r\nUpgrade: websocket',
    'Upgrade: h2c',
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c'
  ),
  of('Upgrade: websocket', 'Connection: upgrade', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
  of('Expect: 100-continue', 'Expect: 100-CONTINUE', 'Expect: 200-ok', 'Expect:', 'Expect: 100-continue, x'),
  of('TE: trailers', 'TE: chunked', 'Trailer: X-Trailer', 'Content-Encoding: gzip', 'Accept-Encoding:'),
  of('Accept: a\r\nAccept: b', 'Cookie: a\r\nCookie: b', 'User-Agent: a\r\nUser-Agent: b', 'X-A: 1\r\nx-a: 2'),
  of('Content-Type: text/plain\r\nContent-Type: application/json', 'Content-Type:', 'Content-Type: \xe9'),
  of('Authorization: Bearer a\r\nAuthorization: Bearer b', 'Authorization:', 'Authorization: Basic YTpi'),
  of('X: \x80\xff', 'X: \t', 'X:y', 'X: a\tb', "!#$%&'*+-.^_`|~: v", '__proto__: x', 'constructor: x', '0: x'),
  of('Origin: http://evil.example', 'Origin: null', 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Site: none', 'Referer: x'),
  of('X-Request-Id: ', 'X-Request-Id: a b', 'X-Request-Id: \xe9', `X-Request-Id: ${'i'.repeat(129)}`),
  of('If-None-Match: *', 'Range: bytes=0-1', 'Max-Forwards: 0', 'Content-Length2: 5', 'Via: 1.1 x'),
  choices => `X-Size: ${'s'.repeat(choices.pick([1_000, 4_000, 7_900, 8_100, 16_000]))}`,
  choices => `X-Size: ${'s'.repeat(choices.between(15_900, 16_400))}`,
  choices => 'a:\r\n'.repeat(choices.pick([20, 90, 95, 98, 99, 100, 101, 150])).slice(0, -2)
]

/** Lines of a head that a server refuses, or that servers read in different ways. */
export const brokenHeads: readonly Part[] = [
  ...strangeHeaders.slice(0, 5),
  choices => `Content-Length: ${choices.pick(lengths)}`,
  choices => `Content-Length: ${choices.pick(lengths)}`,
  choices => `${choices.pick(lengthNames)}${choices.between(0, 9)}`,
  choices => `Transfer-Encoding: ${choices.pick(codings)}`,
  choices => `Transfer-Encoding: ${choices.pick(codings)}`,
  choices => `${choices.pick(codingNames)}chunked`,
  of('Host: again.example', 'Host: localhost', 'Host:', 'Host: a b', 'Host: evil.example', 'Host : localhost'),
  of(' folded: header', '\tfolded', ' ', '\t', ' Transfer-Encoding: chunked', ' Content-Length: 3'),
  of('X: a\r\n b', 'X: a\r\n\tb', 'X:\r\n b', 'X: a\r\n ', 'Content-Length:\r\n 3', 'Transfer-Encoding:\r\n chunked'),
  of('X: a\n', 'X: a\nY: b', 'X: a\rY: b', 'X: a\r', '\rX: a', 'X: a\r\r', 'X\r: a', '\n', '\r', 'X: a\r\n\rY: b'),
  of('X : a', 'X\t: a', ': a', ':', 'X', 'X X: a', 'X\0: a', 'X: \0', 'X: a\x01b', 'X: \x7f', 'X\x80: a', '\xff: a'),
  of('X(: a', 'X,: a', 'X;: a', 'X=: a', 'X@: a', 'X": a', 'X{: a', 'X/: a', '[X]: a', 'X?: a', '<X>: a', 'X\\: a'),
  choices => `${'n'.repeat(choices.pick([255, 256, 1_000, 17_000]))}: v`
]

const lengths: readonly string[] = [
  ...['0', '1', '5', '00', '05', '0x5', '5 ', '\t5', ' 5', '+5', '-5', '-0', '+0', '5.0', '5e1', '1_0', '٥'],
  ...['5,5', '5, 5', '5,6', ',5', '5,', '5 5', '5;', '"5"', "'5'", '5\t', '5\0', '\x0b5', '\x0c5', '5\x0b', '\xa05'],
  ...[
    '',
    'a',
    'five',
    'NaN',
    'Infinity',
    '1e1',
    '0b1',
    '0o7',
    '４',
    '16777216',
    '16777217',
    '2147483647',
    '2147483648'
  ],
  ...['4294967295', '4294967296', '4294967301', '9007199254740991', '9007199254740993', '9223372036854775807'],
  ...[
    '18446744073709551615',
    '18446744073709551616',
    '18446744073709551621',
    '99999999999999999999',
    '000000000000000000005'
  ]
].map(text => Buffer.from(text).toString('latin1'))

const lengthNames: readonly string[] = [
  ...['Content-Length : ', 'Content-Length\t: ', ' Content-Length: ', 'Content_Length: ', 'Content-Length\0: '],
  ...[
    'Content-Length:',
    'CONTENT-LENGTH:\t',
    'content-length: ',
    'Content-Length\r: ',
    'Content-Length\x0b: ',
    'Content-Lengt\xc8: '
  ]
]

const codings: readonly string[] = [
  ...[
    'chunked',
    'Chunked',
    'CHUNKED',
    ' chunked',
    'chunked ',
    '\tchunked',
    'chunked\t',
    'chunked,',
    ',chunked',
    'chunked;'
  ],
  ...[
    'chunked, chunked',
    'chunked, identity',
    'identity, chunked',
    'identity',
    'gzip',
    'gzip, chunked',
    'chunked, gzip'
  ],
  ...[
    'xchunked',
    'chunkedx',
    'chunke',
    'chunked\0',
    '\x0bchunked',
    'chunked\x0b',
    '"chunked"',
    "'chunked'",
    'chunked;a=b'
  ],
  ...[
    'chun\tked',
    'x\r\n chunked',
    '',
    'cow',
    'chunKed',
    'chunked\xa0',
    '\xffchunked',
    'identity\r\nTransfer-Encoding: chunked'
  ]
]

const codingNames: readonly string[] = [
  ...[
    'Transfer-Encoding : ',
    'Transfer-Encoding\t: ',
    ' Transfer-Encoding: ',
    'Transfer_Encoding: ',
    'Transfer-Encoding\0: '
  ],
  ...[
    'Transfer-Encoding:',
    'transfer-encoding:\t',
    'X: a\nTransfer-Encoding: ',
    'X: a\rTransfer-Encoding: ',
    'Transfer-Encoding\r: '
  ]
]
