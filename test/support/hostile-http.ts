import type { SeededRandom } from './random.js'
import { RawSocket } from './raw-socket.js'

/** What one connection sends, and how it ends. */
export interface HostileScript {
  readonly pieces: readonly Buffer[]
  readonly requests: number
  /** Every request is whole and right: each is answered, unless the client ends its half, which to Node means leaving. */
  readonly isWhole: boolean
  readonly ending: 'reset' | 'cut' | 'half' | 'wait'
}

/** Longest a server may take to answer whole requests or to give up broken ones. */
const PATIENCE_MS = 30_000

const targets = [
  'POST /kprf/push',
  'POST /kprf/push',
  'GET /',
  'POST /nowhere',
  'OPTIONS /kprf/push',
  'PUT /kprf/push',
  'POST /kprf/nowhere',
  'POST /%zz',
  'HEAD /',
  'GET /kprf/push',
  'DELETE /kprf/push?a=b'
]
const strangeTargets = [
  'CONNECT localhost:80',
  'OPTIONS *',
  'POST http://localhost/kprf/push',
  'GET http://elsewhere.example/',
  `GET /${'a'.repeat(20_000)}`,
  'PROPFIND /',
  'PRI *',
  'get /',
  'POST  /kprf/push'
]
const headers = ['Content-Type: application/json', 'Content-Type: text/plain', 'Accept: */*', 'X-Request-Id: mine']
const strangeHeaders = [
  'Expect: 100-continue',
  'Expect: the-unexpected',
  'Connection: close',
  'Connection: upgrade\r\nUpgrade: websocket',
  'Connection: upgrade, http2-settings\r\nUpgrade: h2c',
  'Host: again.example',
  'Host: ',
  'Content-Length: 16777216',
  'Content-Length: 0',
  'Content-Length: 99999999999999999999',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: identity',
  ' folded: header',
  'Na me: v',
  'Origin: http://elsewhere.example',
  'Sec-Fetch-Site: cross-site',
  'a:\r\n'.repeat(200).trimEnd(),
  'a:\r\n'.repeat(1_500).trimEnd(),
  `X: ${'x'.repeat(20_000)}`
]
const junk = [
  'xyz\r\n',
  '5\r\nabcdeXX\r\n',
  'fffffffffffffffff\r\n',
  '-1\r\n',
  '0\r\nX',
  '1\na\n',
  '\0',
  '2;\x01\r\nab\r\n'
]
const prefaces = [
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
  '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03',
  '\0'.repeat(100)
]

/** Makes connections that are right, slightly wrong, cut anywhere, or no HTTP at all. */
export class HostileHttp {
  readonly #random: SeededRandom

  constructor(random: SeededRandom) {
    this.#random = random
  }

  next(): HostileScript {
    const requests = this.#between(1, 4)
    const isWhole = this.#oneIn(3)
    let bytes = Buffer.concat(Array.from({ length: requests }, () => this.#request(isWhole)))
    if (this.#oneIn(60)) bytes = Buffer.concat([Buffer.from(this.#pick(prefaces), 'latin1'), bytes])
    if (!isWhole && this.#oneIn(2)) bytes = bytes.subarray(0, this.#between(1, bytes.length))
    const ending = this.#pick(['reset', 'reset', 'cut', 'half', 'wait'] as const)
    return { pieces: this.#split(bytes), requests, isWhole, ending }
  }

  #request(isWhole: boolean): Buffer {
    const target = !isWhole && this.#oneIn(15) ? this.#pick(strangeTargets) : this.#pick(targets)
    const lines = [`${target} HTTP/1.${isWhole || !this.#oneIn(20) ? 1 : 0}`, 'Host: localhost', this.#pick(headers)]
    while (!isWhole && this.#oneIn(4)) lines.push(this.#pick(strangeHeaders))
    const body = this.#body()
    const isChunked = this.#oneIn(2)
    lines.push(isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`)
    const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
    return Buffer.concat([head, isChunked ? this.#chunked(body, isWhole) : body])
  }

  #body(): Buffer {
    const record = { topic: this.#pick(['orders', 'slow']), data: 'd'.repeat(this.#between(0, 300)) }
    if (this.#oneIn(30)) record.data = 'D'.repeat(this.#between(10_000, 200_000))
    if (this.#oneIn(8)) return Buffer.from('{"records":[')
    return Buffer.from(JSON.stringify({ records: [record], wait_for_send: this.#oneIn(2) }))
  }

  #chunked(body: Buffer, isWhole: boolean): Buffer {
    const parts: Buffer[] = []
    const chunkMaxBytes = this.#pick([1, 10, 1_000, 100_000])
    for (let at = 0; at < body.length; ) {
      if (!isWhole && this.#oneIn(20)) parts.push(Buffer.from(this.#pick(junk), 'latin1'))
      const chunk = body.subarray(at, at + (body.length > 5_000 ? 100_000 : this.#between(1, chunkMaxBytes)))
      parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'))
      at += chunk.length
    }
    const trailer = this.#oneIn(10) ? 'X-Trailer: t\r\n' : ''
    parts.push(Buffer.from(`0\r\n${trailer}\r\n`))
    return Buffer.concat(parts)
  }

  #split(bytes: Buffer): Buffer[] {
    const pieces: Buffer[] = []
    for (let at = 0; at < bytes.length; ) {
      const end = this.#oneIn(2) ? bytes.length : at + this.#between(1, bytes.length)
      pieces.push(bytes.subarray(at, end))
      at = end
    }
    return pieces
  }

  #between(from: number, to: number): number {
    return this.#random.between(from, to)
  }

  #oneIn(n: number): boolean {
    return this.#random.between(1, n) === 1
  }

  #pick<Item>(items: readonly Item[]): Item {
    return this.#random.pick(items)
  }
}

/** Plays a script; resolves with what is wrong with the answers, `undefined` when nothing is. */
export async function play(url: string, script: HostileScript): Promise<string | undefined> {
  const socket = await RawSocket.open(url).catch(() => undefined)
  if (socket === undefined) return undefined
  for (const piece of script.pieces) {
    if (socket.isClosed) break
    await socket.send(piece)
  }
  const problem = await end(socket, script)
  socket.destroy()
  return problem
}

async function end(socket: RawSocket, { ending, requests, isWhole }: HostileScript): Promise<string | undefined> {
  if (ending === 'reset') socket.reset()
  if (ending === 'cut') socket.destroy()
  if (ending === 'half') socket.end()
  if (ending !== 'half' && !(ending === 'wait' && isWhole)) return undefined
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    socket.destroy()
  }, PATIENCE_MS)
  await socket.until(() => isWhole && socket.answers >= requests)
  clearTimeout(timer)
  if (isLate) return `no end after ${PATIENCE_MS} ms: ${socket.answers} of ${requests} answers`
  if (isWhole && ending === 'wait' && socket.answers < requests && !/^connection: close\r$/im.test(socket.received)) {
    return `the connection was cut after ${socket.answers} of ${requests} answers`
  }
  return socket.answers > requests + 1 ? `${socket.answers} answers to ${requests} requests` : undefined
}
