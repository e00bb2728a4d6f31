import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { freePorts } from '../runs/real-kafka/ports.js'
import { type Child, Children, Gateway } from './child.js'

const WRITERS = 4
/** So that segments begin, end and are used again while they are copied. */
const PADDING = 'x'.repeat(40_000)

describe('a copy of the durable log that was made while the gateway wrote', () => {
  const children = new Children()
  let folder: string
  let port: number
  let broker: Child

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-backup-'))
    ;[port = 0] = await freePorts(1)
    await startBroker()
  })
  afterEach(async () => {
    await children.stopAll()
    rmSync(folder, { recursive: true, force: true })
  })

  async function startBroker(): Promise<void> {
    broker = children.start(['broker', '--port', String(port), '--dir', join(folder, 'broker')])
    await broker.line(/127\.0\.0\.1:\d+/)
  }

  const startGateway = (directory: string): Promise<Gateway> =>
    Gateway.start(children, ['--brokers', `127.0.0.1:${port}`], {
      CASTELLAN_WAL_DIRECTORY: join(folder, directory),
      CASTELLAN_ADVANCED_WAL_SEGMENT_BYTES: '1048576'
    })

  /** Clients that write until they are stopped, each to a key of its own. */
  class Writers {
    readonly acknowledged: string[] = []
    #running: Promise<unknown> = Promise.resolve()
    #isOver = false

    start(url: string): void {
      this.#running = Promise.all(Array.from({ length: WRITERS }, (_, writer) => this.#write(url, writer)))
    }

    async stop(): Promise<void> {
      this.#isOver = true
      await this.#running
    }

    async until(count: number): Promise<void> {
      while (this.acknowledged.length < count) await sleep(5)
    }

    async #write(url: string, writer: number): Promise<void> {
      for (let number = 0; !this.#isOver; number++) {
        const value = `${writer}-${number}`
        const answer = await fetch(`${url}/arion/async/orders/k${writer}`, {
          method: 'POST',
          body: `${value} ${PADDING}`
        })
        await answer.arrayBuffer()
        if (answer.status === 202) this.acknowledged.push(value)
      }
    }
  }

  const copy = (): void => {
    // Files that the gateway removes meanwhile make it end with 1: their records are in Kafka.
    spawnSync('cp', ['-a', join(folder, 'log'), join(folder, 'copy')])
  }

  /** What is in Kafka when a gateway has delivered the copy. */
  async function restored(): Promise<string[]> {
    const gateway = await startGateway('copy')
    await gateway.until(200)
    const metrics = async (): Promise<string> => (await fetch(`${gateway.management}/metrics`)).text()
    while (!/^castellan_wal_open_records 0$/m.test(await metrics())) await sleep(50)
    const reader = children.start(['read', 'orders', '--brokers', `127.0.0.1:${port}`])
    await reader.exit()
    return reader.lines.map(line => line.split(' ')[0]!)
  }

  it('has each record that was acknowledged before, once and in order, when Kafka was away', async () => {
    const gateway = await startGateway('log')
    await gateway.until(200)
    const writers = new Writers()
    writers.start(gateway.url)
    await writers.until(50)
    broker.process.kill('SIGKILL')
    await broker.exit()
    await gateway.until(503)
    await writers.until(writers.acknowledged.length + 150)
    const before = [...writers.acknowledged]
    copy()
    await writers.stop()
    gateway.child.process.kill('SIGKILL')
    await gateway.child.exit()
    await startBroker()
    const values = await restored()
    expect(before.filter(value => !values.includes(value))).to.deep.equal([])
    expect(values.length - new Set(values).size, 'doubled').to.equal(0)
    for (let writer = 0; writer < WRITERS; writer++) {
      const numbers = values.filter(value => value.startsWith(`${writer}-`)).map(value => Number(value.split('-')[1]))
      expect(numbers).to.deep.equal([...numbers].sort((one, other) => one - other))
    }
  })

  it('has each record that was acknowledged before, and some that Kafka has got since, when Kafka was there', async () => {
    const gateway = await startGateway('log')
    await gateway.until(200)
    const writers = new Writers()
    writers.start(gateway.url)
    await writers.until(150)
    const before = [...writers.acknowledged]
    copy()
    await writers.until(before.length + 150)
    await writers.stop()
    gateway.child.process.kill('SIGKILL')
    await gateway.child.exit()
    const values = await restored()
    expect(before.filter(value => !values.includes(value))).to.deep.equal([])
    const doubled = values.filter((value, index) => values.indexOf(value) !== index)
    expect(new Set(doubled).size, 'none more than twice').to.equal(doubled.length)
  })
})
