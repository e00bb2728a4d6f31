import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { buildSync } from 'esbuild'
import { Children, Gateway } from '../../../cli/child.js'
import { serveRegistry } from '../../../schemas/registry-server.js'
import { PROJECT } from '../../../support/built.js'
import { SeededRandom } from '../../../support/random.js'
import { HttpClient } from '../../http-client.js'
import type { PoliteReport } from '../polite-client.js'
import { type Case, drawnCase, firstCases, nameOf } from './cases.js'
import { QUEUE_TURN, queueTurnMs } from './queue-turn.js'
import { knownSteps } from './routes.js'
import { registry } from './schema-routes.js'

export interface FewBytesOptions {
  readonly seconds: number
  readonly seed: number
  /** Cases whose name contains this. */
  readonly only: string
  readonly connections: number
}

const HEAP_MB = 256
const MAX_TURN_MS = 50
const REPEATS = 3
/** Longest until a request is answered, which waits for nothing but the processor. */
const ANSWER_MS = 30_000
/** What is done after the answer, such as collecting garbage, belongs to the case. */
const REST_MS = 30
const SOCKET = join(PROJECT, '.cache/few-bytes.sock')

/** Stands in paths. All other parts are `few`. */
const PARTS = {
  groupid: 'strimzi-few',
  cluster: 'default',
  partition: '0',
  partitionid: '0'
}
/** Groups in which an instance of the name `few` is made first. */
const INSTANCES = ['few', 'subscribing'].flatMap(group => [
  `confluent/consumers/${group}`,
  `strimzi/consumers/strimzi-${group}`
])
const SHOWN = 12

interface Outcome {
  readonly turnMs: number
  readonly statuses: string
  readonly problem: string | undefined
}

/** A gateway whose turns are measured. */
class MeasuredGateway {
  readonly gateway: Gateway
  readonly #client: HttpClient
  readonly #parts: Readonly<Record<string, string>>

  private constructor(gateway: Gateway, connections: number, parts: Readonly<Record<string, string>>) {
    this.gateway = gateway
    this.#client = new HttpClient(gateway.url, { maxSockets: connections, timeoutMs: ANSWER_MS })
    this.#parts = parts
  }

  static async start(children: Children, registryUrl: string, connections: number): Promise<MeasuredGateway> {
    const probe = pathToFileURL(join(PROJECT, '.cache/turn-probe.mjs'))
    const source = join(import.meta.dirname, 'turn-probe.ts')
    buildSync({ entryPoints: [source], outfile: fileURLToPath(probe), bundle: true, format: 'esm', platform: 'node' })
    rmSync(SOCKET, { force: true })
    probe.searchParams.set('socket', SOCKET)
    const settings = [`schemas.registry.urls=${registryUrl}`, 'apis.confluent.administration=everywhere']
    // Its routes are asked, and it sends nothing.
    const webhook = ['--webhook', 'few=http://127.0.0.1:9000/', '--set', 'webhooks.definitions.few.paused=true']
    const args = ['--embedded-port', '0', ...webhook, ...settings.flatMap(setting => ['--set', setting])]
    const gateway = await Gateway.start(children, args, {
      NODE_OPTIONS: `--max-old-space-size=${HEAP_MB} --import ${probe.href}`
    })
    for (const instances of INSTANCES) {
      const headers = { 'content-type': 'application/vnd.kafka.v2+json' }
      await fetch(`${gateway.url}/${instances}`, { method: 'POST', headers, body: '{"name":"few"}' })
    }
    const { cluster_id } = await listed(`${gateway.url}/confluent/v3/clusters`)
    const { broker_id } = await listed(`${gateway.url}/confluent/v3/clusters/${cluster_id}/brokers`)
    return new MeasuredGateway(gateway, connections, {
      ...PARTS,
      cluster_id: String(cluster_id),
      broker_id: String(broker_id)
    })
  }

  /** Sends a case over so many connections at once, and measures the longest turn until after the last answer. */
  async play({ route, headers, body }: Case, connections: number): Promise<Outcome> {
    const [method, path] = route.name.split(' ') as [string, string]
    const url =
      path.replaceAll(/\{(\w+)\}/g, (_, name: string) => route.parts?.[name] ?? this.#parts[name] ?? 'few') +
      (route.query ?? '')
    await this.#longestTurnMs()
    const startedAt = performance.now()
    const answers = await Promise.all(
      Array.from({ length: connections }, () => this.#client.ask(method, url, { headers, body }))
    )
    const tookMs = performance.now() - startedAt
    await sleep(REST_MS)
    const turnMs = await this.#longestTurnMs().catch(() => Number.NaN)
    const statuses = [...new Set(answers.map(answer => answer?.status ?? 'none'))].join()
    return { turnMs, statuses, problem: this.#problem(tookMs, statuses) }
  }

  queueTurnMs(): Promise<number> {
    return queueTurnMs(this.gateway.url, () => this.#longestTurnMs())
  }

  #problem(tookMs: number, statuses: string): string | undefined {
    const { isRunning, stderr } = this.gateway.child
    if (!isRunning) return `the process ended: ${stderr.slice(0, 300)}`
    if (tookMs >= ANSWER_MS) return `no answer within ${ANSWER_MS} ms`
    return /405|415/.test(statuses) ? 'the route does not read it' : undefined
  }

  async #longestTurnMs(): Promise<number> {
    return Number(await text(connect(SOCKET)))
  }
}

/** The first of a list of Confluent's API of version 3. */
async function listed(url: string): Promise<Readonly<Record<string, unknown>>> {
  const { data } = (await (await fetch(url)).json()) as { data: readonly Readonly<Record<string, unknown>>[] }
  return data[0]!
}

class PoliteProcess {
  readonly #process: ChildProcess

  constructor(url: string) {
    this.#process = fork(join(import.meta.dirname, '../polite-process.ts'), [url], { execArgv: ['--import', 'tsx'] })
  }

  async stop(): Promise<PoliteReport> {
    this.#process.send('stop')
    const [report] = (await once(this.#process, 'message')) as [PoliteReport]
    return report
  }
}

const limitOf = ({ route, shape }: Case): number =>
  Math.max(
    MAX_TURN_MS,
    ...knownSteps.filter(known => known.route.test(nameOf(route)) && known.shape.test(shape)).map(known => known.maxMs)
  )

/** Plays cases until the time is over, beside a polite client. @returns the number of failures */
export async function runFewBytes({ seconds, seed, only, connections }: FewBytesOptions): Promise<number> {
  console.log(`few bytes for ${seconds} s over ${connections} connections, seed ${seed}`)
  const random = new SeededRandom(seed)
  const children = new Children()
  const served = await serveRegistry(registry)
  const failures: string[] = []
  const turns: { readonly name: string; readonly turnMs: number; readonly statuses: string }[] = []
  let passed = 0
  const endsAt = performance.now() + seconds * 1_000
  try {
    let measured = await MeasuredGateway.start(children, served.url, connections)
    let polite = new PoliteProcess(measured.gateway.url)
    const stopPolite = async (): Promise<void> => {
      const { answered, refused, p99Ms, problems } = await polite.stop()
      console.log(`polite client: ${answered} delivered, ${refused} refused, p99 ${p99Ms.toFixed(1)} ms`)
      if (problems.length > 0) failures.push(`polite client: ${problems.slice(0, 5).join('; ')}`)
    }
    if (QUEUE_TURN.includes(only)) {
      const turnMs = await measured.queueTurnMs()
      turns.push({ name: QUEUE_TURN, turnMs, statuses: 'left' })
      if (turnMs <= MAX_TURN_MS) passed++
      else failures.push(`${QUEUE_TURN}: ${turnMs.toFixed(0)} ms`)
    }
    for (const one of casesUntil(endsAt, random)) {
      if (!one.name.includes(only)) continue
      let least = Number.POSITIVE_INFINITY
      let problem: string | undefined
      let statuses = ''
      for (let time = 0; time < REPEATS && problem === undefined; time++) {
        const outcome = await measured.play(one, connections)
        least = Math.min(least, outcome.turnMs)
        problem = outcome.problem
        statuses = outcome.statuses
        if (least <= limitOf(one)) break
      }
      turns.push({ name: one.name, turnMs: least, statuses })
      if (problem === undefined && least <= limitOf(one)) passed++
      else failures.push(`${one.name}: ${problem ?? `${least.toFixed(0)} ms in each of ${REPEATS}`}, ${statuses}`)
      if (!measured.gateway.child.isRunning) {
        await stopPolite()
        measured = await MeasuredGateway.start(children, served.url, connections)
        polite = new PoliteProcess(measured.gateway.url)
      }
    }
    await stopPolite()
  } finally {
    await children.stopAll()
    await served.close()
  }
  console.log('the longest turns:')
  for (const { name, turnMs, statuses } of turns.sort((a, b) => b.turnMs - a.turnMs).slice(0, SHOWN))
    console.log(`${turnMs.toFixed(1).padStart(7)} ms ${statuses} ${name}`)
  for (const failure of failures) console.log(`!!! ${failure}`)
  console.log(`${passed} passed, ${failures.length} failed`)
  return failures.length
}

/** All first cases, however long they take, and then drawn ones until the time is over. */
function* casesUntil(endsAt: number, random: SeededRandom): Generator<Case> {
  yield* firstCases()
  while (performance.now() < endsAt) yield drawnCase(random)
}
