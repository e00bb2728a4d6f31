import { rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children } from '../../cli/child.js'
import { FrontProxy, isInstalled, type ProxyKind } from '../../http/engine/proxies.js'
import { ask, GatewaysOfKit, haproxy, kindOf, nginx } from './two-gateways.js'

/** `ROLLING_REQUESTS=10000` for a long run, `ROLLING_BROKERS=HOST:PORT,…` on a Kafka that has none of these topics yet. */
const REQUESTS = Number(process.env.ROLLING_REQUESTS ?? 2_000)
const KAFKA = process.env.ROLLING_BROKERS
const CLIENTS = 16
/** Between two requests of a client: the load lasts as long as the restarts. */
const PAUSE_MS = 20

/** Clients with connections that are kept: each pushes a record and waits for it, then takes a message of a group. */
class Load {
  readonly failed: string[] = []
  readonly acknowledged: string[] = []
  answered = 0
  readonly topic: string
  readonly #socketPath: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  #isOver = false

  constructor({ name }: ProxyKind, { url }: FrontProxy) {
    this.topic = `orders-${name}`
    this.#socketPath = url.slice('unix:'.length)
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, (_, client) => this.#client(client)))
    this.#agent.destroy()
  }

  end(): void {
    this.#isOver = true
  }

  async #client(client: number): Promise<void> {
    for (let turn = 0; !this.#isOver || this.answered < REQUESTS; turn++) {
      const value = `${client}-${turn}`
      const record = { topic: this.topic, key: String(client), data: value }
      const pushed = await this.#ask('POST', '/kprf/push', JSON.stringify({ records: [record], wait_for_send: true }))
      if (pushed === '200 {"status":"ok","errors":[]}') this.acknowledged.push(value)
      else this.failed.push(`push: ${pushed}`)
      const taken = await this.#ask('GET', `/pixy/topics/${this.topic}/messages?group=readers`)
      // 408: there was no message in time.
      if (!/^(200|408) /.test(taken)) this.failed.push(`take: ${taken}`)
      await sleep(PAUSE_MS)
    }
  }

  async #ask(method: string, path: string, body?: string): Promise<string> {
    const answer = await ask(this.#agent, this.#socketPath, method, path, body)
    this.answered++
    return answer
  }
}

describe('a rolling restart of two gateways under load', () => {
  const children = new Children()
  let brokers: string
  let pair: GatewaysOfKit

  beforeEach(async () => {
    brokers = KAFKA ?? (await children.start(['broker', '--port', '0']).line(/127\.0\.0\.1:\d+/))[0]
    pair = await GatewaysOfKit.start(children, brokers)
  })
  afterEach(() => children.stopAll())

  interface Steps {
    takeOut?(index: number): Promise<unknown>
    takeIn(index: number): Promise<unknown>
  }

  /** @returns what failed */
  async function restartUnder(load: Load, { takeOut, takeIn }: Steps): Promise<readonly string[]> {
    const running = load.run()
    try {
      for (const index of [0, 1]) {
        await takeOut?.(index)
        expect(await pair.stop(index), 'exit code').to.equal(0)
        await pair.start(index)
        await takeIn(index)
      }
    } finally {
      load.end()
      await running
    }
    const reader = children.start(['read', load.topic, '--brokers', brokers])
    await reader.exit()
    expect(reader.lines.sort(), 'records in Kafka').to.deep.equal([...load.acknowledged].sort())
    expect(load.answered).to.be.at.least(REQUESTS)
    return load.failed
  }

  it('behind HAProxy, which takes out the gateway that stops: no request fails, each record is written once', async function () {
    const kind = kindOf('haproxy')
    if (!isInstalled(kind)) return this.skip()
    const proxy = await FrontProxy.start(
      { ...kind, config: folder => haproxy(folder, pair.ports) },
      new URL('http://x')
    )
    try {
      const takeIn = () => sleep(2_500)
      expect(await restartUnder(new Load(kind, proxy), { takeIn })).to.deep.equal([])
    } finally {
      await proxy.stop()
    }
  })

  it('behind nginx, which a file tells the gateway that stops: no request fails, each record is written once', async function () {
    const kind = kindOf('nginx')
    if (!isInstalled(kind)) return this.skip()
    let folder = ''
    const config = (of: string): string => nginx((folder = of), pair.ports)
    const proxy = await FrontProxy.start({ ...kind, config }, new URL('http://x'))
    const file = (index: number): string => join(folder, String(index + 1))
    try {
      const steps = {
        takeOut: async (index: number) => writeFileSync(file(index), ''),
        takeIn: async (index: number) => rmSync(file(index))
      }
      expect(await restartUnder(new Load(kind, proxy), steps)).to.deep.equal([])
    } finally {
      await proxy.stop()
    }
  })
})
