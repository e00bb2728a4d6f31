import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children, Gateway } from '../../cli/child.js'

const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=256' }
const RECORD_BYTES = 990_000
const AT_ONCE = 20
/** A gateway that gives out no message for so long gives out none. */
const QUIET_MS = 3_000
const WATCH_MS = 30_000
export const MAX_BYTES = 4 * 1024 * 1024

interface Wanted {
  readonly count: number
  readonly maxBytes?: number
  readonly lockMs?: number
  readonly waitMs?: number
}

export function acquireOf(wanted: Wanted, group: string): string {
  const body = JSON.stringify({ start: 'earliest', waitMs: 20_000, ...wanted })
  return `POST /queues/jobs/${group}/acquire HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

/** A gateway with a heap of 256 MB, its brokers in other processes, and a topic `jobs` of records of 990 kB. */
export class SmallHeap {
  readonly children = new Children()
  readonly sockets: Socket[] = []
  #gateway!: Gateway

  /** @param brokers absent: an embedded one */
  async start(records: number, brokers?: string): Promise<void> {
    const compressing = ['--set', 'delivery.compression=gzip', '--set', 'http.admissionWaitMs=10000']
    const writing = brokers === undefined ? ['--embedded-port', '0'] : ['--brokers', brokers]
    const broker = await Gateway.start(this.children, [...writing, ...compressing])
    const address = brokers ?? (await broker.child.line(/embedded broker on ([0-9.]+:\d+)/))[1]!
    this.#gateway = await Gateway.start(this.children, ['--brokers', address], SMALL_HEAP)
    const value = Buffer.alloc(RECORD_BYTES, 'x')
    const write = async (at: number): Promise<void> => {
      const answer = await fetch(`${broker.url}/pixy/topics/jobs/messages?sync&key=${at}`, {
        method: 'POST',
        headers: { 'content-type': 'text/plain' },
        body: value
      })
      expect(answer.status, await answer.text()).to.equal(200)
    }
    // Records of a topic that is not known yet have 1 MiB.
    await write(0)
    for (let at = 1; at < records; at += AT_ONCE)
      await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => write(at + i)))
  }

  closeSockets(): void {
    for (const socket of this.sockets.splice(0)) socket.destroy()
  }

  async open(localAddress = '127.0.0.1'): Promise<Socket> {
    const { hostname, port } = new URL(this.#gateway.url)
    const socket = connect({ host: hostname, port: Number(port), localAddress })
    socket.on('error', () => undefined)
    this.sockets.push(socket)
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return socket
  }

  async metric(name: string): Promise<number> {
    const answer = await fetch(`${this.#gateway.management}/metrics`, { headers: { connection: 'close' } }).catch(
      () => {
        throw new Error(`it has ended: ${this.#gateway.child.stderr}`)
      }
    )
    return Number(new RegExp(`^${name} (.+)$`, 'm').exec(await answer.text())?.[1])
  }

  /** Waits until it gives out nothing more. */
  async lives(): Promise<void> {
    const until = performance.now() + WATCH_MS
    let [given, since] = [0, performance.now()]
    // Kafka takes its time to begin a share group.
    while (performance.now() < until && (given === 0 || performance.now() - since < QUIET_MS)) {
      const now = await this.metric('castellan_queues_acquired_messages_total')
      if (now !== given) [given, since] = [now, performance.now()]
      await sleep(100)
    }
    expect(given, 'the clients got some').to.be.greaterThan(0)
  }
}
