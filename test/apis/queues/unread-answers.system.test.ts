import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children, Gateway } from '../../cli/child.js'

const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=256' }
const RECORDS = 300
const RECORD_BYTES = 990_000
/** A gateway that gives out no message for so long gives out none. */
const QUIET_MS = 3_000
const WATCH_MS = 30_000

interface Wanted {
  readonly count: number
  readonly maxBytes?: number
  readonly lockMs?: number
  readonly waitMs?: number
}

function acquireOf(wanted: Wanted): string {
  const body = JSON.stringify({ start: 'earliest', waitMs: 20_000, ...wanted })
  return `POST /queues/jobs/workers/acquire HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

describe('queues: a process of 256 MB whose clients do not read their answers', function () {
  this.timeout(120_000)
  const children = new Children()
  let broker: Gateway
  let gateway: Gateway
  const sockets: Socket[] = []

  before(async () => {
    broker = await Gateway.start(children, ['--embedded-port', '0'])
    const [, address] = await broker.child.line(/embedded broker on ([0-9.]+:\d+)/)
    gateway = await Gateway.start(children, ['--brokers', address!], SMALL_HEAP)
    const value = Buffer.alloc(RECORD_BYTES, 'x')
    const write = async (at: number): Promise<void> => {
      const answer = await fetch(`${broker.url}/pixy/topics/jobs/messages?sync&key=${at}`, {
        method: 'POST',
        headers: { 'content-type': 'text/plain' },
        body: value
      })
      expect(answer.status, await answer.text()).to.equal(200)
    }
    for (let at = 0; at < RECORDS; at += 10) await Promise.all(Array.from({ length: 10 }, (_, i) => write(at + i)))
  })
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy()
  })
  after(() => children.stopAll())

  async function open(localAddress = '127.0.0.1'): Promise<Socket> {
    const { hostname, port } = new URL(gateway.url)
    const socket = connect({ host: hostname, port: Number(port), localAddress })
    socket.on('error', () => undefined)
    sockets.push(socket)
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return socket
  }

  const metric = async (name: string): Promise<number> => {
    const answer = await fetch(`${gateway.management}/metrics`, { headers: { connection: 'close' } }).catch(() => {
      throw new Error(`it has ended: ${gateway.child.stderr}`)
    })
    return Number(new RegExp(`^${name} (.+)$`, 'm').exec(await answer.text())?.[1])
  }

  /** Waits until it gives out nothing more. */
  async function lives(): Promise<void> {
    const until = performance.now() + WATCH_MS
    let [given, since] = [-1, performance.now()]
    while (performance.now() < until && performance.now() - since < QUIET_MS) {
      const now = await metric('castellan_queues_acquired_messages_total')
      if (now !== given) [given, since] = [now, performance.now()]
      await sleep(100)
    }
    expect(given, 'the clients got some').to.be.greaterThan(0)
  }

  it('lives through 75 connections of one client', async () => {
    for (let at = 0; at < 75; at++) {
      const socket = await open()
      socket.pause()
      socket.write(acquireOf({ count: 4, maxBytes: 4 * 1024 * 1024 }))
    }
    await lives()
  })

  it('lives through one connection with 98 pipelined acquires', async () => {
    const socket = await open()
    socket.pause()
    socket.write(acquireOf({ count: 2, maxBytes: 4 * 1024 * 1024 }).repeat(98))
    await lives()
  })
})
