import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { Children, Gateway } from '../../cli/child.js'

const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=256' }
const CONNECTIONS = 75
const PIPELINED = 100
/** The operating system takes up to 4 MiB of each connection before anything waits in the process. */
const MANY_CONNECTIONS = 400
const MANY_REQUESTS = 1_500
const WATCH_MS = 15_000
/** An innocent client is answered within this. */
const INNOCENT_MS = 1_000
const PATIENCE_MS = 60_000
const V2 = 'application/vnd.kafka.v2+json'
const BINARY = 'application/vnd.kafka.binary.v2+json'

/** What one connection sends again and again. @param url of the shared port */
type Prepare = (url: string) => Promise<{ readonly request: string; readonly isOfManagement?: boolean }>

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`

async function post(url: string, body: object, type: string): Promise<Response> {
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body: JSON.stringify(body) })
  expect(answer.status, url).to.be.within(200, 299)
  await answer.arrayBuffer()
  return answer
}

/** Endpoints by their largest answers, each of which ended a gateway of this size, or could. */
const prepared: Readonly<Record<string, Prepare>> = {
  'a receipt of 10,000 records': async url => {
    const records = Array.from({ length: 10_000 }, (_, at) => ({ topic: 'orders', data: `${at}` }))
    const answer = await post(`${url}/kprf/push`, { records }, 'application/json')
    return { request: get(`/receipts/${answer.headers.get('x-castellan-receipt')}`) }
  },
  'an assignment of 8,000 partitions': async url => {
    const group = `${url}/confluent/consumers/large`
    await post(group, { name: 'i', format: 'binary' }, V2)
    const partitions = Array.from({ length: 8_000 }, (_, partition) => ({ topic: 'n', partition }))
    await post(`${group}/instances/i/assignments`, { partitions }, V2)
    return { request: get('/confluent/consumers/large/instances/i/assignments') }
  },
  'a subscription to 900 topics': async url => {
    const group = `${url}/confluent/consumers/wide`
    await post(group, { name: 'i', format: 'binary' }, V2)
    const topics = Array.from({ length: 900 }, (_, at) => `${'t'.repeat(200)}${at}`)
    await post(`${group}/instances/i/subscription`, { topics }, V2)
    return { request: get('/confluent/consumers/wide/instances/i/subscription') }
  },
  'what became of 30,000 records that are written': async () => {
    const body = gzipSync(JSON.stringify({ records: Array.from({ length: 30_000 }, () => ({ value: '' })) }))
    const head = `POST /confluent/topics/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${BINARY}\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`
    return { request: head + body.toString('latin1') }
  },
  'the metrics': async () => ({ request: get('/metrics'), isOfManagement: true }),
  'the description of all operations': async () => ({ request: get('/openapi.json') })
}

describe('answers that nobody reads, of a process of 256 MB', function () {
  this.timeout(300_000)
  const children = new Children()
  const sockets: Socket[] = []
  let gateway: Gateway

  beforeEach(async () => {
    const [brokers] = await children.start(['broker', '--port', '0']).line(/127\.0\.0\.1:\d+/)
    gateway = await Gateway.start(children, ['--brokers', brokers!], SMALL_HEAP)
    await gateway.until(200)
    await post(
      `${gateway.url}/kprf/push`,
      { records: [{ topic: 'orders', data: 'x' }], wait_for_send: true },
      'application/json'
    )
  })
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await children.stopAll()
  })

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`${gateway.management}/metrics`, { headers: { connection: 'close' } })).text()
    return Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1])
  }

  async function open(url: string, request: string, times = PIPELINED): Promise<Socket> {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    sockets.push(socket)
    socket.on('error', () => undefined)
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    socket.pause()
    socket.write(request.repeat(times), 'latin1')
    return socket
  }

  /** @returns how long answers to others took that took too long */
  async function lateAnswers(): Promise<number[]> {
    const late: number[] = []
    for (const until = performance.now() + WATCH_MS; performance.now() < until; await sleep(200)) {
      const since = performance.now()
      const answer = await fetch(`${gateway.url}/arion/health-check`, { headers: { connection: 'close' } })
      expect(answer.status).to.equal(200)
      const tookMs = performance.now() - since
      if (tookMs > INNOCENT_MS) late.push(Math.round(tookMs))
    }
    return late
  }

  for (const [name, prepare] of Object.entries(prepared)) {
    it(`hurt nobody: ${name}`, async () => {
      const { request, isOfManagement = false } = await prepare(gateway.url)
      for (let at = 0; at < CONNECTIONS; at++) await open(isOfManagement ? gateway.management : gateway.url, request)
      const late = await lateAnswers()
      expect(gateway.child.isRunning, gateway.child.stderr).to.equal(true)
      expect(late, 'answers to others that took longer').to.deep.equal([])
      expect(await metric('castellan_http_unheld_answers_total')).to.equal(0)
      for (const socket of sockets.splice(0)) socket.destroy()
      for (
        const until = performance.now() + PATIENCE_MS;
        (await metric('castellan_http_answers_bytes')) > 0;
        await sleep(100)
      )
        expect(performance.now()).to.be.below(until)
    })
  }

  it('end where they are small and many: 400 connections with up to 64 KiB each', async () => {
    const records = Array.from({ length: 45 }, (_, at) => ({ topic: 'orders', data: `${at}` }))
    const pushed = await post(`${gateway.url}/kprf/push`, { records }, 'application/json')
    const request = get(`/receipts/${pushed.headers.get('x-castellan-receipt')}`)
    const answer = await fetch(`${gateway.url}/receipts/${pushed.headers.get('x-castellan-receipt')}`)
    expect((await answer.text()).length).to.be.within(3_000, 8_000)
    for (let at = 0; at < MANY_CONNECTIONS; at++) {
      await open(gateway.url, request, MANY_REQUESTS)
      // What is tried is what they hold, not how long their requests take.
      await (await fetch(`${gateway.url}/arion/health-check`)).arrayBuffer()
    }
    const until = performance.now() + PATIENCE_MS
    while (!((await metric('castellan_http_connections_ended_unread_total')) > 0)) {
      expect(performance.now(), 'none has ended').to.be.below(until)
      await sleep(500)
    }
    const late = await lateAnswers()
    expect(gateway.child.isRunning, gateway.child.stderr).to.equal(true)
    expect(late, 'answers to others that took longer').to.deep.equal([])
    const limitBytes = await metric('castellan_http_answers_limit_bytes')
    expect(await metric('castellan_http_unread_bytes')).to.be.within(1, limitBytes)
  })
})
