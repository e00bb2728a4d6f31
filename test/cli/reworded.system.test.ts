import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as http from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Status } from '../../src/http/status/status.js'
import { freePorts } from '../runs/real-kafka/ports.js'
import { TestFolder } from '../support/access.js'
import { PROJECT } from '../support/built.js'
import { removeCopy } from '../support/project-copy.js'
import { testSeed } from '../support/random.js'
import { rewordedCopy } from './reworded.js'

const PATIENCE_MS = 60_000
const TOKEN = 'x'.repeat(32)

/** A gateway with small limits, whose durable log cannot be used. */
const limited = (folder: TestFolder, port: number, management: number) => ({
  http: { port, allowedHosts: ['127.0.0.1'] },
  management: { port: management },
  embedded: { port: 0 },
  delivery: { createTopics: false },
  wal: { directory: join(folder.write('file', ''), 'wal') },
  access: {
    rules: [
      { principals: ['anonymous'], operations: ['produce', 'create'], topics: ['orders', 'missing'] },
      { principals: ['anonymous'], operations: ['management'] }
    ]
  },
  quotas: { perAddress: { recordsPerSecond: 20 } },
  advanced: { apis: { confluent: { maxRecordsPerRequest: 2 } } }
})
/** A gateway that reaches no broker, and that does not find itself among its peers. */
const alone = (folder: TestFolder, port: number, management: number) => ({
  http: { port },
  management: { port: management },
  clusters: { default: { brokers: ['127.0.0.1:1'] } },
  wal: { directory: folder.path },
  apis: { arion: { durability: 'memory' } },
  peers: { addresses: ['127.0.0.1:1', '127.0.0.1:2'], listen: '127.0.0.1:0', token: TOKEN }
})
/** A gateway that reaches no broker. */
const away = (folder: TestFolder, port: number, management: number) => ({
  http: { port },
  management: { port: management },
  clusters: { default: { brokers: ['127.0.0.1:1'] } },
  wal: { directory: folder.path }
})

const seed = testSeed()

describe(`castellan, with all of its texts reworded (TEST_SEED=${seed})`, () => {
  let copy: string
  const folders: TestFolder[] = []
  const stops: (() => Promise<void>)[] = []
  before(async () => {
    copy = await rewordedCopy(String(seed))
  })
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop()
    for (const folder of folders.splice(0)) folder.remove()
  })
  after(() => removeCopy(copy))

  /** Starts the command of one of the two programs. */
  const start = (of: string, args: readonly string[]) => {
    const { PATH = '', HOME = '' } = process.env
    const environment = { PATH, HOME, CASTELLAN_SHUTDOWN_DRAIN_MS: '0' }
    return spawn(process.execPath, [join(of, 'dist/main.js'), ...args], { env: environment })
  }
  /** What a command says that ends by itself: its exit code, and the numbers in its last line. */
  const outcome = async (of: string, args: readonly string[], input = '') => {
    const child = start(of, args)
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', text => void (said += text))
    child.stdin.end(input)
    const [code] = await once(child, 'close')
    return { code, numbers: said.trim().split('\n').at(-1)!.match(/\d+/g) ?? [] }
  }
  /** Starts a gateway, and waits until its status is to be told. */
  const gateway = async (of: string, configOf: typeof limited | typeof alone | typeof away) => {
    const folder = new TestFolder()
    folders.push(folder)
    const [port, management] = (await freePorts(2)) as [number, number]
    const file = folder.write('castellan.json', JSON.stringify(configOf(folder, port, management)))
    const child = start(of, ['serve', '--config', file])
    let stderr = ''
    child.stderr.on('data', text => void (stderr += text))
    child.stdout.resume()
    const ended = once(child, 'close')
    stops.push(async () => {
      child.kill('SIGKILL')
      await ended
    })
    const url = `http://127.0.0.1:${port}`
    const giveUpAt = performance.now() + PATIENCE_MS
    while (
      !(await fetch(url).then(
        () => true,
        () => false
      ))
    ) {
      if (performance.now() > giveUpAt || child.exitCode !== null) throw new Error(`it does not serve: ${stderr}`)
      await sleep(50)
    }
    return { url, management: `http://127.0.0.1:${management}` }
  }
  type Gateway = Awaited<ReturnType<typeof gateway>>

  const statusOf = async ({ management }: Gateway): Promise<Status> =>
    (await (await fetch(`${management}/status.json`)).json()) as Status
  /** Counts of delivery are published once a second: the gateway is asked until they do not change any more. */
  const countedBy = async ({ management }: Gateway) => {
    const scrape = async () => {
      const metrics = await (await fetch(`${management}/metrics`)).text()
      return metrics.match(/^castellan_(ready|\w*(refus|reject|lost|fail)\w*_total)\S* [1-9]\d*$/gm) ?? []
    }
    const giveUpAt = performance.now() + PATIENCE_MS
    let counted = await scrape()
    let before: readonly string[]
    do {
      before = counted
      await sleep(1_200)
      counted = await scrape()
    } while (counted.join() !== before.join() && performance.now() < giveUpAt)
    return counted
  }
  /** Everything but words, times and what depends on them. */
  async function factsOf(of: Gateway, isTold: (status: Status) => boolean) {
    const giveUpAt = performance.now() + PATIENCE_MS
    let status = await statusOf(of)
    while (!isTold(status) && performance.now() < giveUpAt) {
      await sleep(100)
      status = await statusOf(of)
    }
    const { gateway, trouble, refusals, failures, losses, log, clusters } = status
    const ready = await Promise.all(['/ready', '/ready/kafka'].map(path => fetch(of.management + path)))
    return {
      ready: ready.map(({ status }) => status),
      gateway: [gateway.isReady, gateway.reasons.length, gateway.warnings.length],
      trouble: trouble.map(({ severity, kind, see }) => [severity, kind, see]),
      refusals: refusals.map(({ reason, what, setting, count }) => [reason, what, setting, count]),
      failures: failures.map(({ api, status, reason, count }) => [api, status, reason, count]),
      losses: losses.map(({ api, reason, records }) => [api, reason, records]),
      log: log.state,
      clusters: clusters.map(({ name, isReady, brokers }) => [name, isReady, brokers.map(({ state }) => state)]),
      counted: await countedBy(of)
    }
  }

  /** The status of a request whose headers `fetch` would not send. */
  const ask = (url: string, headers: http.OutgoingHttpHeaders): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      http.get(url, { headers }, response => resolve(response.resume().statusCode)).once('error', reject)
    })
  const post = async (url: string, body: object | string): Promise<string> => {
    const headers = {
      'content-type': url.endsWith('/confluent/topics/orders')
        ? 'application/vnd.kafka.json.v2+json'
        : 'application/json'
    }
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const response = await fetch(url, { method: 'POST', headers, body: text })
    return `${response.status} ${response.headers.get('x-castellan-persisted')} ${(await response.text()).length > 0}`
  }

  it('tells the same facts of requests that are refused: by status, metrics, answers and exit codes', async () => {
    const facts: object[] = []
    for (const of of [PROJECT, copy]) {
      const castellan = await gateway(of, limited)
      const { url } = castellan
      const answers = [
        await ask(`${url}/arion/health-check`, { host: 'evil.test' }),
        await ask(`${url}/arion/health-check`, { origin: 'http://evil.test' }),
        await post(`${url}/arion/async/orders`, 'on disk'),
        await post(`${url}/confluent/topics/orders`, { records: [{ value: 1 }, { value: 2 }, { value: 3 }] }),
        await post(`${url}/kprf/push`, { wait_for_send: true, records: [{ topic: 'forbidden', data: 'a' }] }),
        await post(`${url}/kprf/push`, { wait_for_send: true, records: [{ topic: 'missing', data: 'a' }] }),
        await post(`${url}/arion/sync/a%20topic`, 'x'),
        await outcome(of, ['write', 'missing', '--gateway', url, '--timeout', '5'], 'a\nb\n'),
        await outcome(of, ['write', 'orders', '--gateway', 'http://127.0.0.1:1', '--timeout', '1'], 'a\n'),
        await outcome(of, ['topics', 'list', '--brokers', '127.0.0.1:1', '--timeout', '1']),
        await outcome(of, ['wal', 'verify', '/there/is/no/such/folder'])
      ]
      // The quota is used up by one request; the next one is refused.
      const many = {
        wait_for_send: true,
        records: Array.from({ length: 400 }, () => ({ topic: 'missing', data: 'a' }))
      }
      answers.push(await post(`${url}/kprf/push`, many), await post(`${url}/kprf/push`, many))
      const told = await factsOf(castellan, ({ trouble }) => trouble.some(({ kind }) => kind === 'quotaReached'))
      facts.push({ answers, ...told })
    }
    expect(facts[1]).to.deep.equal(facts[0])
  })

  it('tells the same facts of brokers and other gateways that are away', async () => {
    const facts: object[] = []
    for (const of of [PROJECT, copy]) {
      const isTold = ({ trouble }: Status) => trouble.some(({ kind }) => kind === 'keysRefused')
      facts.push(await factsOf(await gateway(of, alone), isTold))
    }
    expect(facts[1]).to.deep.equal(facts[0])
  })

  it('tells the same facts of brokers that are away', async () => {
    const facts: object[] = []
    for (const of of [PROJECT, copy])
      facts.push(await factsOf(await gateway(of, away), ({ gateway: { warnings } }) => warnings.length > 0))
    expect(facts[1]).to.deep.equal(facts[0])
  })
})
