import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children } from '../../cli/child.js'
import { FrontProxy, isInstalled } from '../../http/engine/proxies.js'
import { ask, GatewaysOfKit, haproxy, kindOf, nginx } from './two-gateways.js'

/** `KEYED_REQUESTS=10000` for a long run. */
const REQUESTS = Number(process.env.KEYED_REQUESTS ?? 1_000)
const CLIENTS = 64
/** Between two requests of a client. */
const PAUSE_MS = 200
/** Before a gateway stops, and when it has been started again. */
const BEFORE_MS = 3_000
const DOCUMENTED_CLIENTS = 6

/** Clients that write one record with each request, with a new key, and do not send it again. */
class KeyedLoad {
  readonly failed: string[] = []
  readonly acknowledged: string[] = []
  answered = 0
  readonly topic = `keyed-${randomUUID()}`
  readonly #socketPath: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  #isOver = false

  constructor({ url }: FrontProxy) {
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
      const body = JSON.stringify({ records: [{ topic: this.topic, data: value }], wait_for_send: true })
      const headers = { 'idempotency-key': randomUUID() }
      const pushed = await ask(this.#agent, this.#socketPath, 'POST', '/kprf/push', body, headers)
      this.answered++
      if (pushed === '200 {"status":"ok","errors":[]}') this.acknowledged.push(value)
      else this.failed.push(pushed)
      await sleep(PAUSE_MS)
    }
  }
}

/** `write.php` of docs/start/php.md, at a gateway. @returns what it has printed, with its exit code */
async function writePhp(url: string, value: string): Promise<string> {
  const [, program = ''] = /```php write\.php\n(.*?)```/s.exec(readFileSync('docs/start/php.md', 'utf8'))!
  const code = program.replace('http://127.0.0.1:8080', url).replace("'one book'", `'${value}'`)
  const child = spawn('php', ['-r', code.replace('<?php', '')], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (data: Buffer) => (text += data.toString()))
  const [exitCode] = await once(child, 'close')
  return `${exitCode} ${text}`
}

describe('requests with keys while a gateway is started again', function () {
  this.timeout(240_000)
  const children = new Children()
  let brokers: string
  let pair: GatewaysOfKit
  beforeEach(async () => {
    brokers = (await children.start(['broker', '--port', '0']).line(/127\.0\.0\.1:\d+/))[0]
    pair = await GatewaysOfKit.start(children, brokers)
  })
  afterEach(() => children.stopAll())

  const written = async (topic: string): Promise<readonly string[]> => {
    const reader = children.start(['read', topic, '--brokers', brokers])
    await reader.exit()
    return reader.lines.toSorted()
  }

  /** @param meanwhile what else happens while the gateway is away */
  async function restartUnder(
    load: KeyedLoad,
    awayMs: number,
    takes: Takes,
    meanwhile = async () => {}
  ): Promise<void> {
    const running = load.run()
    try {
      await sleep(BEFORE_MS)
      takes.out()
      expect(await pair.stop(0), 'exit code').to.equal(0)
      const others = meanwhile()
      await sleep(awayMs)
      await pair.start(0)
      takes.in()
      await others
      await sleep(BEFORE_MS)
    } finally {
      load.end()
      await running
    }
  }

  interface Takes {
    out(): void
    in(): void
  }
  const NOTHING: Takes = { out: () => undefined, in: () => undefined }

  for (const name of ['haproxy', 'nginx']) {
    const kind = kindOf(name)
    /** nginx is told by a file that a gateway stops. */
    const behind = async (run: (proxy: FrontProxy, takes: Takes) => Promise<void>): Promise<void> => {
      let folder = ''
      const config = (of: string): string =>
        name === 'nginx' ? nginx((folder = of), pair.ports) : haproxy(of, pair.ports)
      const proxy = await FrontProxy.start({ ...kind, config }, new URL('http://x'))
      const file = (): string => join(folder, '1')
      const takes = { out: () => writeFileSync(file(), ''), in: () => rmSync(file()) }
      try {
        await run(proxy, name === 'nginx' ? takes : NOTHING)
      } finally {
        await proxy.stop()
      }
    }

    it(`behind ${name}, away for 20 s: none fails, and each record is written once`, async function () {
      if (!isInstalled(kind)) return this.skip()
      await behind(async (proxy, takes) => {
        const load = new KeyedLoad(proxy)
        await restartUnder(load, 20_000, takes)
        expect(load.failed).to.deep.equal([])
        expect(load.answered).to.be.at.least(REQUESTS)
        expect(await written(load.topic)).to.deep.equal(load.acknowledged.toSorted())
      })
    })

    it(`behind ${name}, away for 40 s: those that fail are told so, and clients of the docs succeed`, async function () {
      if (!isInstalled(kind)) return this.skip()
      await behind(async (proxy, takes) => {
        const load = new KeyedLoad(proxy)
        const told: string[] = []
        const writers = async (): Promise<void> => {
          const values = Array.from({ length: DOCUMENTED_CLIENTS }, (_, nth) => `book ${nth}`)
          told.push(...(await Promise.all(values.map(value => writePhp(pair.gateways[1]!.url, value)))))
        }
        await restartUnder(load, 40_000, takes, writers)
        expect(load.failed.length, 'failed').to.be.above(0)
        for (const answer of load.failed) expect(answer).to.match(/^503 .*"code":"peerAway","persisted":"no"/)
        expect(await written(load.topic)).to.deep.equal(load.acknowledged.toSorted())
        for (const printed of told) expect(printed).to.match(/^0 \{"status":"sent"/)
        expect(await written('loans')).to.have.length(DOCUMENTED_CLIENTS)
      })
    })
  }
})
