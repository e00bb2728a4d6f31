import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { SeededRandom } from '../../support/random.js'
import { PushBodies } from './push-bodies.js'
import { listen, pushOf, serve } from './stage.js'

const REQUESTS = 6_000
const WARM_UP = 3_000
const AT_ONCE = 50
const SEED = 20_261_120

const oddities = [
  'Content-Length: 5',
  'content-length: -1',
  'content-length: 99999999999999999999',
  'content-length: 1e3',
  'transfer-encoding: chunked',
  'transfer-encoding: gzip, chunked',
  'transfer-encoding: identity',
  'content-type:',
  'content-type: text/plain',
  'content-type: application/json; charset="',
  'connection: close',
  'connection: upgrade\r\nupgrade: websocket',
  'connection: upgrade, http2-settings\r\nupgrade: h2c',
  'expect: 100-continue',
  'expect: the-unexpected',
  'host: again',
  'x-request-id: \u00ff\u0001',
  `x-long: ${'y'.repeat(20_000)}`,
  ' folded: header',
  'no colon',
  ': no name',
  'na me: v',
  'x\0y: z'
]
const lines = [
  'POST /kprf/push HTTP/1.1',
  'POST /kprf/push/ HTTP/1.0',
  'POST /kprf/push?a=%zz HTTP/1.1',
  'POST /kprf/%zz HTTP/1.1',
  'POST /kprf/pu%73h HTTP/1.1',
  'POST http://h/kprf/push HTTP/1.1',
  'POST * HTTP/1.1',
  'OPTIONS * HTTP/1.1',
  'CONNECT h:1 HTTP/1.1',
  'PROPFIND /kprf/push HTTP/1.1',
  'QUERY /kprf/push HTTP/1.1',
  'HEAD /kprf/push HTTP/1.1',
  'post /kprf/push HTTP/1.1',
  'POST /kprf/push HTTP/2.0',
  'POST /kprf/push HTTP/9',
  'POST  /kprf/push  HTTP/1.1',
  'PRI * HTTP/2.0',
  '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'
]
const junk = Buffer.from('\r\n\0 :;,{}[]"\\\xff\xc3%/', 'latin1')

/** Requests that are right, slightly wrong, or no HTTP at all. */
class Requests {
  readonly #random = new SeededRandom(SEED)
  readonly #bodies = new PushBodies(SEED, 3)

  next(): Buffer {
    const body = this.#below(4) > 0 ? Buffer.from(pushOf(['t', 'bad'], this.#below(2) > 0)) : this.#bodies.next()
    const headers = ['host: h', 'content-type: application/json']
    const isChunked = this.#below(4) === 0
    headers.push(isChunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`)
    while (this.#below(3) === 0) headers.push(this.#random.pick(oddities))
    const line = this.#below(2) === 0 ? this.#random.pick(lines) : lines[0]
    const head = Buffer.from(`${line}\r\n${headers.join('\r\n')}\r\n\r\n`, 'latin1')
    let request: Buffer = Buffer.concat([head, isChunked ? chunked(body) : body])
    while (this.#below(2) === 0) request = this.#mutate(request)
    return request
  }

  #below(limit: number): number {
    return this.#random.between(0, limit - 1)
  }

  #mutate(request: Buffer): Buffer {
    const at = this.#below(request.length + 1)
    const [before, after] = [request.subarray(0, at), request.subarray(at)]
    switch (this.#below(4)) {
      case 0:
        return before
      case 1:
        return Buffer.concat([before, after.subarray(1)])
      case 2:
        return Buffer.concat([before, Buffer.of(junk[this.#below(junk.length)]!), after])
      default:
        return Buffer.concat([before, request.subarray(this.#below(request.length + 1)), after])
    }
  }
}

const chunked = (body: Buffer): Buffer => {
  const half = body.length >> 1
  const chunk = (part: Buffer): Buffer[] =>
    part.length === 0 ? [] : [Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]
  return Buffer.concat([...chunk(body.subarray(0, half)), ...chunk(body.subarray(half)), Buffer.from('0\r\n\r\n')])
}

/** Sends, says that nothing more will come, and reads to the end. */
const ask = (port: number, request: Buffer): Promise<string> =>
  new Promise(resolve => {
    let received = ''
    const socket = connect(port, '127.0.0.1')
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => (received += text))
    socket.on('error', () => {})
    socket.on('close', () => resolve(received))
    socket.end(request)
  })

function usedHeapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

describe('kprf and malformed HTTP', () => {
  it(`bears ${REQUESTS} requests of all kinds (seed ${SEED})`, async function () {
    this.timeout(120_000)
    let produced = 0
    const verbs = new FakeVerbs({ outcome: ({ topic }) => (topic === 'bad' ? failure('timedOut') : delivered()) })
    const produce = verbs.produce.bind(verbs)
    verbs.produce = (records, options) => {
      produced += records.length
      const pendingProduce = produce(records, options)
      verbs.calls.length = 0
      return pendingProduce
    }
    const { app } = await serve({ verbs })
    const port = await listen(app)
    const requests = new Requests()
    const statuses = new Map<string, number>()
    const unintended: string[] = []
    const run = async (count: number): Promise<void> => {
      let left = count
      const worker = async (): Promise<void> => {
        while (left-- > 0) {
          const request = requests.next()
          const answer = await ask(port, request)
          for (const [, status = ''] of answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)) {
            statuses.set(status, (statuses.get(status) ?? 0) + 1)
          }
          // 501: a transfer coding beside chunked.
          const failures = answer.match(/HTTP\/1\.1 (?!501 )5\d\d /g)?.length ?? 0
          const shaped =
            answer.match(/HTTP\/1\.1 500 (?:.*\r\n)+\r\n\{"status":"err","errors":\[\{"error":/g)?.length ?? 0
          if (failures !== shaped) unintended.push(`${request.toString('latin1')}\n=> ${answer}`)
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, worker))
    }
    await run(WARM_UP)
    const before = usedHeapBytes()
    await run(REQUESTS - WARM_UP)
    const after = usedHeapBytes()
    await app.close()

    expect(unintended.slice(0, 3)).to.deep.equal([])
    expect([...statuses.keys()]).to.include.members(['200', '400', '404', '405', '415', '500'])
    expect(produced).to.be.above(REQUESTS / 10)
    expect(after / before, 'heap after to heap before').to.be.below(1.1)
  })
})
