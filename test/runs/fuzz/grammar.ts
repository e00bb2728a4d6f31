import type { Choices } from './choices.js'
import { brokenHeads, strangeHeaders, strangeLines } from './strange-parts.js'

/** A request as bytes, one character each. */
export interface GeneratedRequest {
  readonly text: string
  readonly kind: 'valid' | 'unusual' | 'broken'
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD' | 'OPTIONS'

interface Target {
  readonly method: Method
  readonly path: string
  readonly type?: string
  readonly body?: string
}

const JSON_TYPE = 'application/json'
const FORM_TYPE = 'application/x-www-form-urlencoded'
const LASTING_ECHOES = ['parsed', 'collected', 'template', 'stream', 'unread', 'late', 'pieces', 'empty']
const ECHOES = [...LASTING_ECHOES, ...LASTING_ECHOES, 'closing']
const EXTENSIONS = [';a', ';a=b', ';a="b;c"']
/** Node refuses some of them. */
const STRANGE_EXTENSIONS = [';a=b;c', ';', '; a = b']
const TOPICS = ['orders', 'slow', 'a.b-c_d', 'x'.repeat(200)] as const
const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** Requests in the shapes that clients of all APIs send, and in shapes that they may send. */
export class Grammar {
  readonly #choices: Choices
  readonly #isPlain: boolean
  readonly #isLasting: boolean

  /**
   * @param isPlain whether its valid requests are such as an engine reads by hand: without chunks and `Expect`
   * @param isLasting whether its valid requests leave their connection open
   */
  constructor(choices: Choices, isPlain: boolean, isLasting: boolean) {
    this.#choices = choices
    this.#isPlain = isPlain
    this.#isLasting = isLasting
  }

  valid(): GeneratedRequest {
    const target = this.#target()
    const lines = [`${target.method} ${target.path} HTTP/1.1`, this.#header('Host', 'localhost'), ...this.#headers(2)]
    return { text: this.#withBody(lines, target), kind: 'valid' }
  }

  unusual(): GeneratedRequest {
    const choices = this.#choices
    const target = this.#target()
    const version = choices.percent(25) ? '1.0' : '1.1'
    const line = choices.percent(30)
      ? choices.pick(strangeLines)
      : `${target.method} ${this.#unusualPath(target.path)} HTTP/${version}`
    const lines = [line]
    if (version === '1.1' || choices.oneIn(2))
      lines.push(this.#header('Host', choices.pick(['localhost', '127.0.0.1:80', 'LOCALHOST'])))
    lines.push(...this.#headers(4))
    for (let left = choices.between(0, 2); left > 0; left--) lines.push(choices.pick(strangeHeaders)(choices))
    const before = choices.percent(10) ? choices.pick(['\r\n', '\n', '\r\n\r\n', '\r']) : ''
    return { text: before + this.#withBody(lines, target), kind: 'unusual' }
  }

  broken(): GeneratedRequest {
    const choices = this.#choices
    const target = this.#target()
    const lines = [`${target.method} ${target.path} HTTP/1.1`, 'Host: localhost', ...this.#headers(2)]
    for (let left = choices.between(1, 2); left > 0; left--) {
      lines.splice(choices.between(0, lines.length), 0, choices.pick(brokenHeads)(choices))
    }
    return { text: this.#withBody(lines, target), kind: 'broken' }
  }

  #target(): Target {
    const choices = this.#choices
    const topic = choices.pick(TOPICS)
    switch (choices.between(0, 11)) {
      case 0:
      case 1:
        return { method: 'POST', path: '/kprf/push', type: JSON_TYPE, body: this.#push() }
      case 2: {
        const mode = choices.pick(['sync', 'async', 'batch/sync', 'batch/async'])
        const form = choices.oneIn(2)
        const body = form ? `a=${this.#text(60)}&b=c` : `[{"k":"${this.#text(60)}"},{"k":"2"}]`
        return { method: 'POST', path: `/kafboy/${mode}/${topic}`, type: form ? FORM_TYPE : JSON_TYPE, body }
      }
      case 3:
        return { method: 'POST', path: '/kafboy/echo_post', type: JSON_TYPE, body: `{"a":"${this.#text(2_000)}"}` }
      case 4: {
        const key = choices.pick(['', '/k', '/a%2Fb', '/a/b'])
        return {
          method: 'POST',
          path: `/arion/${choices.pick(['sync', 'async'])}/${topic}${key}`,
          body: this.#text(400)
        }
      }
      case 5: {
        const query = choices.pick(['', '?sync', '?key=a&sync', '?key=%zz', '?sync&persisted'])
        const body = choices.oneIn(4) ? `msg=${this.#text(50)}&key=a` : this.#text(400)
        return {
          method: 'POST',
          path: `/pixy/topics/${topic}/messages${query}`,
          type: body.startsWith('msg=') ? FORM_TYPE : 'text/plain',
          body
        }
      }
      case 6:
        return choices.pick<Target>([
          { method: 'GET', path: `/pixy/topics/${topic}/messages?group=g` },
          { method: 'GET', path: `/pixy/topics/${topic}/offsets?group=g` },
          { method: 'POST', path: `/pixy/topics/${topic}/acks?group=g&partition=0&offset=1` },
          { method: 'POST', path: `/pixy/topics/${topic}/offsets?group=g`, body: '[{"partition":0,"offset":1}]' },
          { method: 'GET', path: '/pixy/topics' },
          { method: 'GET', path: '/pixy/_ping' },
          { method: 'GET', path: '/arion/health-check' }
        ])
      case 7:
        return choices.pick<Target>([
          { method: 'GET', path: '/' },
          { method: 'HEAD', path: '/' },
          { method: 'OPTIONS', path: '/kprf/push' },
          { method: 'PUT', path: '/kprf/push', type: JSON_TYPE, body: this.#push() },
          { method: 'GET', path: choices.percent(5) ? '/openapi.json' : '/openapi' },
          { method: 'GET', path: '/nowhere' },
          { method: 'POST', path: '/nowhere', body: this.#text(100) },
          { method: 'DELETE', path: '/kprf/nothing', body: this.#text(10) },
          { method: 'POST', path: '/%zz', body: this.#text(10) }
        ])
      default: {
        const method = choices.pick<Method>([
          'POST',
          'POST',
          'POST',
          'GET',
          'PUT',
          'PATCH',
          'DELETE',
          'HEAD',
          'OPTIONS'
        ])
        const path = `/echo/${choices.pick(this.#isLasting ? LASTING_ECHOES : ECHOES)}/${this.#text(12)}${choices.pick(['', '?a=b&c=%20', '?', ';v=1'])}`
        const takesBody = method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS'
        return takesBody ? { method, path, body: this.#body() } : { method, path }
      }
    }
  }

  #unusualPath(path: string): string {
    const choices = this.#choices
    switch (choices.between(0, 9)) {
      case 0:
        return `http://localhost${path}`
      case 1:
        return `HTTPS://elsewhere.example:81${path}`
      case 2:
        return `/${path}`
      case 3:
        return `${path}#fragment`
      case 4:
        return path.replace(/[a-z]/, char => `%${char.charCodeAt(0).toString(16)}`)
      case 5:
        return `${path}?${'q'.repeat(choices.pick([10, 500, 3_000, 8_000]))}`
      case 6:
        return `${path}${choices.pick(['\xe9', '"<>', '|^`', '\x7f', '\t', '{}', '\\', "'"])}`
      case 7:
        return choices.pick(['*', '', 'localhost:80', '?', '//', '/./a/../b', 'http://', 'http:///a', 'mailto:a'])
      default:
        return path
    }
  }

  #push(): string {
    const choices = this.#choices
    const record = { topic: choices.pick(TOPICS), ...(choices.oneIn(2) && { key: 'k' }), data: this.#text(300) }
    if (!this.#isLasting && choices.oneIn(12)) return '{"records":['
    return JSON.stringify({ records: [record, ...(choices.oneIn(3) ? [record] : [])], wait_for_send: choices.oneIn(2) })
  }

  #body(): string {
    const choices = this.#choices
    if (choices.percent(this.#isLasting ? 1 : 3))
      return 'L'.repeat(choices.pick([16_384, 65_535, 65_536, 65_537, 100_000, 300_000]))
    if (choices.percent(10))
      return choices.pick(['', '\r\n', '\r\n\r\n', '0\r\n\r\n', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'])
    return this.#text(1_200)
  }

  #text(most: number): string {
    const choices = this.#choices
    const length = choices.percent(70) ? choices.between(1, Math.min(most, 40)) : choices.between(1, most)
    return LETTERS.charAt(choices.between(0, LETTERS.length - 1)).repeat(length)
  }

  #headers(most: number): string[] {
    const choices = this.#choices
    return Array.from({ length: choices.between(0, most) }, () => {
      const [name, value] = choices.pick(plainHeaders)
      return this.#header(name, value)
    })
  }

  /** A header in one of the ways to write it. */
  #header(name: string, value: string): string {
    const choices = this.#choices
    const written = choices.percent(60)
      ? name
      : choices.pick([name.toLowerCase(), name.toUpperCase(), name.replace(/.$/, end => end.toUpperCase())])
    const between = choices.percent(85) ? ' ' : choices.pick(['', '  ', '\t', ' \t '])
    const after = choices.percent(92) ? '' : choices.pick([' ', '\t', '  '])
    return `${written}:${between}${value}${after}`
  }

  /** Node refuses some of the blanks around a length or a coding. */
  #framing(name: string, value: string): string {
    return this.#isLasting ? `${name}: ${value}` : this.#header(name, value)
  }

  #withBody(lines: string[], { type, body, method }: Target): string {
    const choices = this.#choices
    if (type !== undefined && choices.percent(90)) lines.push(this.#header('Content-Type', type))
    if (body === undefined) {
      if (choices.percent(6)) lines.push(this.#framing('Content-Length', '0'))
      else if (choices.percent(3)) return this.#withBody(lines, { method, path: '', body: 'a body of a GET' })
      return `${lines.join('\r\n')}\r\n\r\n`
    }
    const asBytes = Buffer.from(body).toString('latin1')
    const isChunked = choices.percent(this.#isPlain ? 0 : 25)
    const framing = isChunked
      ? this.#framing('Transfer-Encoding', choices.percent(90) ? 'chunked' : 'Chunked')
      : this.#framing('Content-Length', `${choices.percent(this.#isPlain ? 0 : 3) ? '00' : ''}${asBytes.length}`)
    lines.splice(choices.between(1, lines.length), 0, framing)
    if (choices.percent(this.#isPlain ? 0 : 3))
      lines.push(
        this.#header('Expect', choices.pick(['100-continue', '100-Continue', this.#isLasting ? '100-CONTINUE' : 'tea']))
      )
    return `${lines.join('\r\n')}\r\n\r\n${isChunked ? this.#chunked(asBytes) : asBytes}`
  }

  #chunked(body: string): string {
    const choices = this.#choices
    const most = choices.pick([1, 7, 100, 5_000, 100_000])
    const parts: string[] = []
    for (let at = 0; at < body.length; ) {
      const chunk = body.slice(at, at + (body.length > 5_000 ? 50_000 : choices.between(1, most)))
      parts.push(this.#chunkHead(chunk.length), chunk, '\r\n')
      at += chunk.length
    }
    const trailers = choices.percent(8)
      ? choices.pick(['X-Trailer: t\r\n', 'a: b\r\nc: d\r\n', ...(this.#isLasting ? [] : ['Content-Length: 3\r\n'])])
      : ''
    return `${parts.join('')}${choices.percent(92) ? '0' : '000'}\r\n${trailers}\r\n`
  }

  #chunkHead(sizeBytes: number): string {
    const choices = this.#choices
    const hex = choices.oneIn(4) ? sizeBytes.toString(16).toUpperCase() : sizeBytes.toString(16)
    const extension = choices.percent(4)
      ? choices.pick(this.#isLasting ? EXTENSIONS : [...EXTENSIONS, ...STRANGE_EXTENSIONS])
      : ''
    return `${choices.percent(4) ? '0' : ''}${hex}${extension}\r\n`
  }
}

const plainHeaders: readonly (readonly [string, string])[] = [
  ['User-Agent', 'fuzz/1'],
  ['Accept', '*/*'],
  ['Accept', 'application/json'],
  // A compressed answer depends on what else is being compressed.
  ['Accept-Encoding', 'identity'],
  ['Connection', 'keep-alive'],
  ['X-Request-Id', 'mine'],
  ['X-Kafka-Foo', 'YmFy'],
  ['Cookie', 'a=b; c=d'],
  ['Authorization', 'Bearer abc'],
  ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
  ['X-Forwarded-For', '10.0.0.1'],
  ['X-Empty', ''],
  ['X-Long', 'v'.repeat(400)]
]
