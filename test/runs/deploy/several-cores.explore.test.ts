import { readFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children } from '../../cli/child.js'
import { FrontProxy, isInstalled } from '../../http/engine/proxies.js'
import { ask, GatewaysOfKit, kindOf, type Ports } from './two-gateways.js'

const GATEWAYS = 4
const CLIENTS = 8
const GROUPS = 500
const ENOUGH = 200

/** The file of docs/deploy/several-cores, for the gateways of the test. */
const haproxyOfCores = (folder: string, ports: readonly Ports[]): string =>
  ports.reduce(
    (text, { port, management }, at) =>
      text.replaceAll(`127.0.0.1:80${at + 1}0`, `127.0.0.1:${port}`).replace(`port 80${at + 1}1`, `port ${management}`),
    readFileSync('docs/deploy/several-cores/haproxy.cfg', 'utf8').replace('bind :8080', `bind ${folder}/front`)
  )

/** Clients that open a connection for each request: each pushes a record and waits for it. */
class Load {
  readonly failed: string[] = []
  readonly acknowledged: string[] = []
  readonly #socketPath: string
  readonly #agent = new Agent({ keepAlive: false })
  #isOver = false

  constructor({ url }: FrontProxy) {
    this.#socketPath = url.slice('unix:'.length)
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, (_, client) => this.#client(client)))
  }

  async untilMore(count = ENOUGH): Promise<void> {
    for (const enough = this.acknowledged.length + count; this.acknowledged.length < enough; ) await sleep(20)
  }

  end(): void {
    this.#isOver = true
  }

  ask(method: string, path: string, body?: string): Promise<string> {
    return ask(this.#agent, this.#socketPath, method, path, body)
  }

  async #client(client: number): Promise<void> {
    for (let turn = 0; !this.#isOver; turn++) {
      const value = `${client}-${turn}`
      const record = { topic: 'orders', key: String(client), data: value }
      const answer = await this.ask('POST', '/kprf/push', JSON.stringify({ records: [record], wait_for_send: true }))
      if (answer === '200 {"status":"ok","errors":[]}') this.acknowledged.push(value)
      else this.failed.push(answer)
      await sleep(10)
    }
  }
}

describe('four gateways of one machine, behind the HAProxy of docs/deploy/several-cores', function () {
  this.timeout(600_000)
  const children = new Children()
  let brokers: string
  let gateways: GatewaysOfKit
  let proxy: FrontProxy
  let load: Load

  beforeEach(async function () {
    const kind = kindOf('haproxy')
    if (!isInstalled(kind)) return this.skip()
    brokers = (await children.start(['broker', '--port', '0']).line(/127\.0\.0\.1:\d+/))[0]
    gateways = await GatewaysOfKit.start(children, brokers, GATEWAYS, { CASTELLAN_CONSUMER_LONG_POLL_MS: '500' })
    const config = (folder: string): string => haproxyOfCores(folder, gateways.ports)
    proxy = await FrontProxy.start({ ...kind, config }, new URL('http://x'))
    load = new Load(proxy)
  })
  afterEach(async () => {
    await proxy?.stop()
    await children.stopAll()
  })

  async function inKafka(): Promise<readonly string[]> {
    const reader = children.start(['read', 'orders', '--brokers', brokers])
    await reader.exit()
    return reader.lines.sort()
  }

  it('fail no request of new connections while each is restarted in turn', async () => {
    const running = load.run()
    await load.untilMore()
    for (let at = 0; at < GATEWAYS; at++) {
      expect(await gateways.stop(at), 'exit code').to.equal(0)
      await gateways.start(at)
      // As restart.sh waits until HAProxy has seen it.
      await sleep(3_000)
      await load.untilMore()
    }
    load.end()
    await running
    expect(load.failed).to.deep.equal([])
    expect(await inKafka()).to.deep.equal(load.acknowledged.sort())
  })

  it('lose nothing that was acknowledged when each is killed in turn', async () => {
    const running = load.run()
    await load.untilMore()
    for (let at = 0; at < GATEWAYS; at++) {
      await gateways.gateways[at]!.child.stop('SIGKILL')
      await load.untilMore(20)
      await gateways.start(at)
      await sleep(3_000)
    }
    load.end()
    await running
    const there = new Set(await inKafka())
    expect(load.acknowledged.filter(value => !there.has(value))).to.deep.equal([])
  })

  it('have a member for each of 500 groups', async () => {
    const pushed = await load.ask(
      'POST',
      '/kprf/push',
      JSON.stringify({ records: [{ topic: 'orders', data: 'x' }], wait_for_send: true })
    )
    expect(pushed).to.match(/^200 /)
    const groups = Array.from({ length: GROUPS }, (_, at) => `group ${at}`)
    // Each group asks twice, over connections that HAProxy may send to any gateway.
    for (const _ of [1, 2])
      for (let at = 0; at < GROUPS; at += 20)
        await Promise.all(
          groups
            .slice(at, at + 20)
            .map(group => load.ask('GET', `/pixy/topics/orders/messages?group=${encodeURIComponent(group)}`))
        )
    const counts = await Promise.all(
      gateways.ports.map(async ({ management }) => {
        const text = await (await fetch(`http://127.0.0.1:${management}/metrics`)).text()
        return Number(/^castellan_groups_groups (\d+)$/m.exec(text)![1])
      })
    )
    expect(counts.reduce((sum, count) => sum + count, 0)).to.equal(GROUPS)
    for (const count of counts) expect(count).to.be.above(0)
  })
})
