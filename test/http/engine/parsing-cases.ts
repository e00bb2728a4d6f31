/** Bytes that servers and proxies read in different ways, and what an engine must make of them. One character per byte. */
export interface ParsingCase {
  readonly name: string
  readonly send: string
  /** Status of each answer to `send`, in order. */
  readonly answers: readonly number[]
  /** `METHOD /path "body"` of each request that a handler is given whole. */
  readonly handled: readonly string[]
  /** Whether a request that comes behind `send` is answered. */
  readonly stays: boolean
}

const SMUGGLED = 'GET /loud/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n'

const head = (line: string, ...headers: readonly string[]): string =>
  `${line}\r\nHost: localhost\r\n${headers.map(header => `${header}\r\n`).join('')}\r\n`
const post = (...headers: readonly string[]): string => head('POST /loud/a HTTP/1.1', ...headers)
const get = (...headers: readonly string[]): string => head('GET /loud/a HTTP/1.1', ...headers)

/** Answered once with an error, handed to nobody, and the connection ends. */
const refused = (name: string, send: string, status = 400): ParsingCase => ({
  name,
  send,
  answers: [status],
  handled: [],
  stays: false
})

/** Each request is handled and answered, and the connection stays open. */
const taken = (name: string, send: string, ...handled: readonly string[]): ParsingCase => ({
  name,
  send,
  answers: handled.map(() => 200),
  handled,
  stays: true
})

/** The same, but nothing behind it is read. */
const takenLast = (name: string, send: string, ...handled: readonly string[]): ParsingCase => ({
  ...taken(name, send, ...handled),
  stays: false
})

const CHUNKED = 'Transfer-Encoding: chunked'
const EMPTY_CHUNKS = '0\r\n\r\n'

/** A length of five in many ways, with five bytes of body and a request behind them. */
const lengths: readonly string[] = [
  ...[
    '+5',
    '-5',
    '-0',
    '0x5',
    '5.0',
    '5e0',
    '5 5',
    '5,5',
    '5, 5',
    ',5',
    '5,',
    '5;',
    '"5"',
    'five',
    '',
    '\x0b5',
    '5\x0b'
  ],
  ...['5\0', '5_', '\xa05', '18446744073709551616', '18446744073709551621', '99999999999999999999', '1_0']
]

/** Codings that are not exactly `chunked`. */
const codings: readonly string[] = [
  ...[
    'xchunked',
    'chunkedx',
    'chunke',
    'chunked;a=b',
    '"chunked"',
    'identity',
    'gzip',
    'chunked, gzip',
    'cow',
    'chunked\x0b'
  ],
  ...['\x0bchunked', 'chunked\0', 'chunked, identity']
]

const asName = (text: string): string =>
  JSON.stringify(text).replace(/[\x7f-\xff]/g, char => `\\x${char.charCodeAt(0).toString(16)}`)

export const parsingCases: Readonly<Record<string, readonly ParsingCase[]>> = {
  'a length and chunks': [
    refused(
      'CL.TE: the length covers the smuggled request',
      post('Content-Length: 54', CHUNKED) + EMPTY_CHUNKS + SMUGGLED
    ),
    refused('CL.TE: the length ends in the middle of a word', `${post('Content-Length: 6', CHUNKED)}${EMPTY_CHUNKS}G`),
    refused(
      'TE.CL: the length ends within the first chunk',
      `${post(CHUNKED, 'Content-Length: 4')}5c\r\n${SMUGGLED}${EMPTY_CHUNKS}`
    ),
    refused('CL.0: a length of nothing and chunks', post('Content-Length: 0', CHUNKED) + EMPTY_CHUNKS + SMUGGLED),
    refused('CL.TE in HTTP/1.0', head('POST /loud/a HTTP/1.0', 'Content-Length: 6', CHUNKED) + EMPTY_CHUNKS + SMUGGLED),
    refused(
      'a length and a coding that is not chunked',
      `${post('Content-Length: 5', 'Transfer-Encoding: identity')}abcde${SMUGGLED}`
    ),
    takenLast('chunks in HTTP/1.0', head('POST /loud/a HTTP/1.0', CHUNKED) + EMPTY_CHUNKS + SMUGGLED, 'POST /a ""')
  ],

  'chunks in disguise (TE.TE)': [
    refused('chunked twice, in two headers', post(CHUNKED, CHUNKED) + EMPTY_CHUNKS + SMUGGLED),
    refused('chunked twice, in one header', post('Transfer-Encoding: chunked, chunked') + EMPTY_CHUNKS + SMUGGLED),
    refused('chunked, then another', post(CHUNKED, 'Transfer-Encoding: cow') + EMPTY_CHUNKS + SMUGGLED),
    taken(
      'another, then chunked: the last one counts',
      post('Transfer-Encoding: cow', CHUNKED) + EMPTY_CHUNKS + SMUGGLED,
      'POST /a ""',
      'GET /smuggled ""'
    ),
    ...codings.map(coding =>
      refused(`the coding ${asName(coding)}`, post(`Transfer-Encoding: ${coding}`) + EMPTY_CHUNKS + SMUGGLED)
    ),
    refused('a space before the colon', post('Transfer-Encoding : chunked') + EMPTY_CHUNKS + SMUGGLED),
    refused('a tab before the colon', post('Transfer-Encoding\t: chunked') + EMPTY_CHUNKS + SMUGGLED),
    refused('a space before the name', head('POST /loud/a HTTP/1.1', 'X: y', ` ${CHUNKED}`) + EMPTY_CHUNKS + SMUGGLED),
    refused('the name behind a bare LF', post(`X: y\n${CHUNKED}`) + EMPTY_CHUNKS + SMUGGLED),
    refused('the name behind a bare CR', post(`X: y\r${CHUNKED}`) + EMPTY_CHUNKS + SMUGGLED),
    refused('the value on the next line', post('Transfer-Encoding:\r\n chunked') + EMPTY_CHUNKS + SMUGGLED),
    refused('a NUL behind the name', post('Transfer-Encoding\0: chunked') + EMPTY_CHUNKS + SMUGGLED),
    taken('a tab before the value', `${post('Transfer-Encoding:\tchunked')}1\r\na\r\n${EMPTY_CHUNKS}`, 'POST /a "a"'),
    taken('no space before the value', `${post('Transfer-Encoding:chunked')}1\r\na\r\n${EMPTY_CHUNKS}`, 'POST /a "a"'),
    taken('in capitals', `${post('TRANSFER-ENCODING: CHUNKED')}1\r\na\r\n${EMPTY_CHUNKS}`, 'POST /a "a"'),
    taken('an underscore in the name is another name', post('Transfer_Encoding: chunked'), 'POST /a ""')
  ],

  lengths: [
    ...lengths.map(length =>
      refused(`the length ${asName(length)}`, `${post(`Content-Length: ${length}`)}abcde${SMUGGLED}`)
    ),
    refused('two equal ones', `${post('Content-Length: 5', 'Content-Length: 5')}abcde${SMUGGLED}`),
    refused(
      'two different ones, the first longer',
      `${post('Content-Length: 54', 'Content-Length: 5')}abcde${SMUGGLED}`
    ),
    refused(
      'two different ones, the second longer',
      `${post('Content-Length: 5', 'content-length: 54')}abcde${SMUGGLED}`
    ),
    refused('a space before the colon', `${post('Content-Length : 5')}abcde${SMUGGLED}`),
    refused('a tab before the colon', `${post('Content-Length\t: 5')}abcde${SMUGGLED}`),
    refused('a NUL in the name', `${post('Content-Length\0: 5')}abcde${SMUGGLED}`),
    refused('the value on the next line', `${post('Content-Length:\r\n 5')}abcde${SMUGGLED}`),
    taken('with zeros before it', `${post('Content-Length: 0000000000000000005')}abcde`, 'POST /a "abcde"'),
    taken('with spaces around it', `${post('Content-Length:   5   ')}abcde`, 'POST /a "abcde"'),
    refused('with a tab behind it', `${post('Content-Length: 5\t')}abcde${SMUGGLED}`),
    taken('of nothing', post('Content-Length: 0'), 'POST /a ""'),
    taken('none', post(), 'POST /a ""'),
    taken('of a GET', `${get('Content-Length: 5')}abcde`, 'GET /a "abcde"'),
    taken(
      'a body that looks like a request',
      `${post(`Content-Length: ${SMUGGLED.length}`)}${SMUGGLED}`,
      `POST /a ${JSON.stringify(SMUGGLED)}`
    ),
    taken('an underscore in the name is another name', post('Content_Length: 5'), 'POST /a ""')
  ],

  chunks: [
    taken(
      'several, with sizes in both cases',
      `${post(CHUNKED)}A\r\n0123456789\r\na\r\n0123456789\r\n${EMPTY_CHUNKS}`,
      'POST /a "01234567890123456789"'
    ),
    taken('zeros before a size', `${post(CHUNKED)}0005\r\nabcde\r\n000\r\n\r\n`, 'POST /a "abcde"'),
    taken('an extension', `${post(CHUNKED)}5;a=b;c="d"\r\nabcde\r\n0;e\r\n\r\n`, 'POST /a "abcde"'),
    taken('a trailer', `${post(CHUNKED)}1\r\na\r\n0\r\nX-Trailer: t\r\n\r\n`, 'POST /a "a"'),
    refused('a length as a trailer', `${post(CHUNKED)}1\r\na\r\n0\r\nContent-Length: 9\r\n\r\n${SMUGGLED}`),
    taken('of a GET', `${get(CHUNKED)}1\r\na\r\n${EMPTY_CHUNKS}`, 'GET /a "a"'),
    refused('no coding in the header', `${post('Transfer-Encoding:')}${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a size that is no number', `${post(CHUNKED)}xyz\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a size with 0x', `${post(CHUNKED)}0x5\r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a negative size', `${post(CHUNKED)}-5\r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a size with a plus sign', `${post(CHUNKED)}+5\r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a blank before a size', `${post(CHUNKED)} 5\r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a blank behind a size', `${post(CHUNKED)}5 \r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a size beyond 64 bits', `${post(CHUNKED)}fffffffffffffffff\r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a size that is 5 in 64 bits', `${post(CHUNKED)}10000000000000005\r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('an empty size', `${post(CHUNKED)}\r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a size behind LF only', `${post(CHUNKED)}5\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a size behind CR only', `${post(CHUNKED)}5\rabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a chunk that is longer than its size', `${post(CHUNKED)}5\r\nabcdeXX\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a chunk without CRLF behind it', `${post(CHUNKED)}5\r\nabcde${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('a chunk with LF behind it', `${post(CHUNKED)}5\r\nabcde\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('an extension with a control byte', `${post(CHUNKED)}5;\x01\r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused('an extension with a bare LF', `${post(CHUNKED)}5;a\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`),
    refused(
      'an extension that is too long',
      `${post(CHUNKED)}5;${'a'.repeat(20_000)}\r\nabcde\r\n${EMPTY_CHUNKS}${SMUGGLED}`,
      413
    ),
    refused('a trailer without a colon', `${post(CHUNKED)}0\r\nX\r\n\r\n${SMUGGLED}`),
    refused('trailers that are too long', `${post(CHUNKED)}0\r\nX: ${'x'.repeat(20_000)}\r\n\r\n${SMUGGLED}`, 431)
  ],

  'line ends': [
    refused('a header over two lines', get('X: a', ' b')),
    refused('a header over two lines, with a tab', get('X: a', '\tb')),
    refused('a first header with a space before it', 'GET /loud/a HTTP/1.1\r\n Host: localhost\r\n\r\n'),
    refused('LF behind the request line', 'GET /loud/a HTTP/1.1\nHost: localhost\r\n\r\n'),
    refused('LF behind a header', 'GET /loud/a HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n'),
    refused('LF only', 'GET /loud/a HTTP/1.1\nHost: localhost\n\n'),
    refused('LF at the end of the head', 'GET /loud/a HTTP/1.1\r\nHost: localhost\r\n\n'),
    refused('CR behind the request line', 'GET /loud/a HTTP/1.1\rHost: localhost\r\n\r\n'),
    refused('CR within a value', get('X: a\rY: b')),
    refused('CR within a name', get('X\rY: b')),
    refused('CR twice', get('X: a\r')),
    refused('CR at the end of the head, without LF', `GET /loud/a HTTP/1.1\r\nHost: localhost\r\n\rX${SMUGGLED}`),
    taken('empty lines before a request', `\r\n\r\n${get()}`, 'GET /a ""')
  ],

  names: [
    refused('a space before the colon', get('X : y')),
    refused('a tab before the colon', get('X\t: y')),
    refused('a space within', get('X Y: z')),
    refused('none', get(': y')),
    refused('nothing but a colon', get(':')),
    refused('no colon', get('X')),
    ...[...'\0\x01\x1f\x7f\x80\xff"(),/:;<=>?@[\\]{}']
      .filter(char => char !== ':')
      .map(char => refused(`${asName(char)} within`, get(`X${char}Y: z`))),
    taken('all characters of a token', get("!#$%&'*+-.^_`|~09AZaz: y"), 'GET /a ""'),
    taken('__proto__', get('__proto__: y', 'constructor: z'), 'GET /a ""')
  ],

  values: [
    ...[...'\0\x01\x08\x0b\x0c\x1f\x7f'].map(char => refused(`${asName(char)} within`, get(`X: a${char}b`))),
    taken('none', get('X:', 'Y: ', 'Z: \t '), 'GET /a ""'),
    taken('a tab within', get('X: a\tb'), 'GET /a ""'),
    taken('high bytes', get('X: \x80\xa0\xe9\xff'), 'GET /a ""')
  ],

  'request lines': [
    refused('HTTP/0.9', 'GET /loud/a\r\n\r\n', 505),
    refused('HTTP/0.9 in name', head('GET /loud/a HTTP/0.9'), 505),
    refused('HTTP/1.2', head('GET /loud/a HTTP/1.2')),
    refused('HTTP/2.0', head('GET /loud/a HTTP/2.0'), 505),
    refused('HTTP/1', head('GET /loud/a HTTP/1')),
    refused('HTTP/1.10', head('GET /loud/a HTTP/1.10')),
    refused('HTTP/01.1', head('GET /loud/a HTTP/01.1')),
    refused('http/1.1', head('GET /loud/a http/1.1')),
    refused('HTTP /1.1', head('GET /loud/a HTTP /1.1')),
    refused('the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    refused('the beginning of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
    refused('an answer', 'HTTP/1.1 200 OK\r\n\r\n'),
    refused('a method in small letters', head('get /loud/a HTTP/1.1')),
    refused('a method of RTSP', 'DESCRIBE / RTSP/1.0\r\n\r\n'),
    refused('a method that nobody knows', head('NONSENSE /loud/a HTTP/1.1')),
    refused('a space before the method', head(' GET /loud/a HTTP/1.1')),
    taken('two spaces behind the method', head('GET  /loud/a HTTP/1.1'), 'GET /a ""'),
    refused('a tab behind the method', head('GET\t/loud/a HTTP/1.1')),
    taken('two spaces behind the URL', head('GET /loud/a  HTTP/1.1'), 'GET /a ""'),
    refused('a space behind the version', head('GET /loud/a HTTP/1.1 ')),
    refused('a space within the URL', head('GET /loud/a b HTTP/1.1')),
    refused('a NUL within the URL', head('GET /loud/\0 HTTP/1.1')),
    refused('no URL', head('GET HTTP/1.1')),
    refused('a path without a slash', head('GET loud/a HTTP/1.1')),
    refused('CONNECT', 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', 405),
    refused('a URL of 20,000 bytes', head(`GET /loud/${'a'.repeat(20_000)} HTTP/1.1`), 431),
    taken('a URL of 15,000 bytes', head(`GET /loud/${'a'.repeat(15_000)} HTTP/1.1`), `GET /${'a'.repeat(15_000)} ""`),
    taken('a whole URL', head('GET http://localhost/loud/a HTTP/1.1'), 'GET /a ""'),
    { ...taken('a whole URL of another host', head('GET http://elsewhere.example/loud/a HTTP/1.1')), answers: [403] },
    { ...taken('a method of WebDAV', head('PROPFIND /nowhere HTTP/1.1')), answers: [404] },
    taken('percent signs and a query', head('GET /loud/%61?b=%zz HTTP/1.1'), 'GET /%61?b=%zz ""')
  ],

  hosts: [
    refused('none', 'GET /loud/a HTTP/1.1\r\n\r\n', 400),
    refused('two equal ones', get('Host: localhost'), 400),
    refused('two different ones', get('Host: evil.example'), 400),
    takenLast('none, in HTTP/1.0', 'GET /loud/a HTTP/1.0\r\n\r\n', 'GET /a ""'),
    refused('two, in HTTP/1.0', 'GET /loud/a HTTP/1.0\r\nHost: localhost\r\nHost: evil.example\r\n\r\n', 400)
  ],

  'large heads': [
    refused('20,000 bytes in one header', get(`X: ${'x'.repeat(20_000)}`), 431),
    refused('20,000 bytes in one name', get(`${'x'.repeat(20_000)}: y`), 431),
    refused('101 headers', get(...Array.from({ length: 100 }, () => 'a: b')), 431),
    taken('100 headers', get(...Array.from({ length: 99 }, () => 'a: b')), 'GET /a ""')
  ],

  connections: [
    takenLast('close', get('Connection: close'), 'GET /a ""'),
    takenLast('close, in capitals and among others', get('Connection: x, CLOSE'), 'GET /a ""'),
    takenLast('HTTP/1.0', head('GET /loud/a HTTP/1.0'), 'GET /a ""'),
    taken('HTTP/1.0 with keep-alive', head('GET /loud/a HTTP/1.0', 'Connection: keep-alive'), 'GET /a ""'),
    taken(
      'HTTP/1.0 with keep-alive and a body',
      `${head('POST /loud/a HTTP/1.0', 'Connection: keep-alive', 'Content-Length: 1')}a`,
      'POST /a "a"'
    ),
    takenLast(
      'an upgrade to a websocket that nobody takes',
      get('Connection: Upgrade', 'Upgrade: websocket'),
      'GET /a ""'
    ),
    taken('the name of websockets without an offer', get('Upgrade: websocket'), 'GET /a ""'),
    taken(
      'an upgrade to HTTP/2',
      get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
      'GET /a ""'
    ),
    taken(
      'an upgrade with a body that looks like a request',
      `${post('Connection: Upgrade', 'Upgrade: x', `Content-Length: ${SMUGGLED.length}`)}${SMUGGLED}`,
      `POST /a ${JSON.stringify(SMUGGLED)}`
    ),
    taken(
      'an upgrade to HTTP/2 with a body in chunks that looks like a request',
      `${post('Connection: Upgrade', 'Upgrade: h2c', CHUNKED)}${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n${EMPTY_CHUNKS}`,
      `POST /a ${JSON.stringify(SMUGGLED)}`
    )
  ],

  expectations: [
    refused('another one', `${post('Expect: tea', 'Content-Length: 5')}abcde${SMUGGLED}`, 417),
    taken(
      'two, one of them known',
      `${post('Expect: 100-continue, tea', 'Content-Length: 5')}abcde${SMUGGLED}`,
      'POST /a "abcde"',
      'GET /smuggled ""'
    ),
    taken(
      'of HTTP/1.0 is not obeyed',
      `${head('POST /loud/a HTTP/1.0', 'Connection: keep-alive', 'Expect: 100-continue', 'Content-Length: 1')}a`,
      'POST /a "a"'
    ),
    taken(
      '100-continue, with the body behind it',
      `${post('Expect: 100-continue', 'Content-Length: 5')}abcde`,
      'POST /a "abcde"'
    ),
    taken('100-Continue, in chunks', `${post('Expect: 100-Continue', CHUNKED)}1\r\na\r\n${EMPTY_CHUNKS}`, 'POST /a "a"')
  ],

  credentials: [refused('two', get('Authorization: Bearer a', 'Authorization: Bearer b'), 400)]
}
