import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../real-kafka/ports.js'
import { SeededRandom } from '../support/random.js'
import { type FromBroker, soakTopics, type ToBroker } from './protocol.js'
import { messageOf, type Sample, slopePerMinute } from './samples.js'

const MAIN = join(import.meta.dirname, '../../dist/main.js')
const SAMPLE_MS = 1_000
const START_TIMEOUT_MS = 60_000
/** Longer than any answer takes. */
const ANSWER_TIMEOUT_MS = 60_000
const PAGE_BYTES = 4_096

interface SoakOptions {
  readonly seconds: number
  readonly seed: number
  readonly clients: number
  readonly workers: number
  readonly onSample: (line: string) => void
}

interface SoakReport {
  readonly sent: number
  readonly answered: number
  readonly statuses: Readonly<Record<string, number>>
  readonly faultsFired: Readonly<Record<string, number>>
  /** Of the parent first, then of its workers. */
  readonly processes: readonly { readonly maxMb: number; readonly slopeMbPerMinute: number }[]
  readonly exitCode: number | null
}

/** Clients of two APIs ask a gateway whose brokers fail at random; the memory of each of its processes is watched. */
export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const directory = mkdtempSync(join(tmpdir(), 'castellan-soak-'))
  const broker = fork(join(import.meta.dirname, 'broker-process.ts'), [String(options.seed)], {
    execArgv: ['--import', 'tsx']
  })
  const { bootstrap } = await messageOf(broker, 'up')
  const [port, managementPort] = await freePorts(2)
  const gateway = start(options.workers, bootstrap, directory, port!, managementPort!)
  try {
    await ready(gateway, `http://127.0.0.1:${managementPort}/ready/kafka`)
    return await soak(options, broker, gateway, `http://127.0.0.1:${port}`)
  } finally {
    gateway.kill('SIGKILL')
    broker.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
}

function start(workers: number, bootstrap: string, directory: string, port: number, management: number): ChildProcess {
  const log = openSync(join(directory, 'gateway.log'), 'a')
  const settings = [
    'shutdown.drainMs=0',
    `wal.directory=${join(directory, 'wal')}`,
    'advanced.router.callTimeoutMs=2000'
  ]
  const args = [
    ...[MAIN, 'serve', '--brokers', bootstrap, '--workers', String(workers)],
    ...['--port', String(port), '--management-port', String(management)],
    ...settings.flatMap(setting => ['--set', setting])
  ]
  return spawn(process.execPath, args, { cwd: directory, stdio: ['ignore', log, log] })
}

async function ready(gateway: ChildProcess, url: string): Promise<void> {
  for (const deadline = performance.now() + START_TIMEOUT_MS; performance.now() < deadline; await sleep(50)) {
    if (gateway.exitCode !== null) break
    const answer = await fetch(url).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer?.status === 200) return
  }
  throw new Error('the gateway did not become ready')
}

async function soak(
  { seconds, seed, clients, onSample }: SoakOptions,
  broker: ChildProcess,
  gateway: ChildProcess,
  url: string
): Promise<SoakReport> {
  const random = new SeededRandom(seed)
  const account: Account = { sent: 0, answered: 0, statuses: new Map(), asks: true }
  const running = Array.from({ length: clients }, (_, number) =>
    client(url, new SeededRandom(random.between(0, 2 ** 31)), number, account)
  )
  const pids = [gateway.pid!, ...childrenOf(gateway.pid!)]
  const samples = await watch(pids, seconds, account, onSample)
  account.asks = false
  const healed = messageOf(broker, 'healed')
  broker.send({ type: 'heal' } satisfies ToBroker)
  const { faultsFired }: Extract<FromBroker, { type: 'healed' }> = await healed
  await Promise.all(running)
  // A worker that was started anew has another number.
  if (childrenOf(gateway.pid!).join() !== pids.slice(1).join()) throw new Error('a worker has ended by itself')
  gateway.kill('SIGTERM')
  await once(gateway, 'exit')
  const { sent, answered, statuses } = account
  const processes = samples.map(ofOne => ({
    maxMb: Math.max(...ofOne.map(({ rssMb }) => rssMb)),
    slopeMbPerMinute: slopePerMinute(ofOne)
  }))
  return { sent, answered, statuses: Object.fromEntries(statuses), faultsFired, processes, exitCode: gateway.exitCode }
}

interface Account {
  sent: number
  answered: number
  /** False: clients finish what they have asked and ask no more. */
  asks: boolean
  readonly statuses: Map<string, number>
}

/** Pushes, synchronously or not, and asks for messages; a third of it all over a new connection. */
async function client(url: string, random: SeededRandom, number: number, account: Account): Promise<void> {
  let agent = new Agent({ keepAlive: true, maxSockets: 1 })
  while (account.asks) {
    const topic = random.pick(soakTopics)
    const dice = random.next()
    account.sent++
    const status =
      dice < 0.8
        ? await ask(agent, `${url}/kprf/push`, pushOf(topic, dice < 0.4, random))
        : await ask(agent, `${url}/pixy/topics/${topic}/messages?group=soak-${number % 20}`)
    if (status !== undefined) account.answered++
    account.statuses.set(String(status), (account.statuses.get(String(status)) ?? 0) + 1)
    if (random.next() < 0.3) {
      agent.destroy()
      agent = new Agent({ keepAlive: true, maxSockets: 1 })
    }
    await sleep(random.between(5, 100))
  }
  agent.destroy()
}

function pushOf(topic: string, isSync: boolean, random: SeededRandom): string {
  const records = Array.from({ length: random.between(1, 5) }, () => ({
    topic,
    key: `k${random.between(0, 50)}`,
    data: 'x'.repeat(random.between(0, 4_000))
  }))
  return JSON.stringify({ records, wait_for_send: isSync })
}

/** @returns `undefined` when there was no answer */
function ask(agent: Agent, url: string, body?: string): Promise<number | undefined> {
  return new Promise(resolve => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const call = request(url, { method: body === undefined ? 'GET' : 'POST', agent, headers }, response => {
      response.on('end', () => resolve(response.statusCode)).on('error', () => resolve(undefined))
      response.resume()
    })
    call.setTimeout(ANSWER_TIMEOUT_MS, () => call.destroy(new Error('no answer')))
    call.on('error', () => resolve(undefined)).end(body)
  })
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

const residentMb = (pid: number): number =>
  (Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES) / 2 ** 20

async function watch(
  pids: readonly number[],
  seconds: number,
  account: Account,
  onSample: SoakOptions['onSample']
): Promise<Sample[][]> {
  const samples: Sample[][] = pids.map(() => [])
  const startedAt = performance.now()
  for (let count = 1; performance.now() - startedAt < seconds * 1_000; count++) {
    await sleep(SAMPLE_MS)
    const atMs = performance.now() - startedAt
    pids.forEach((pid, index) => {
      samples[index]!.push({ atMs, rssMb: residentMb(pid) })
    })
    if (count % 10 > 0) continue
    const resident = samples.map(ofOne => `${ofOne.at(-1)!.rssMb.toFixed(0)} MB`).join(', ')
    onSample(`${(atMs / 1_000).toFixed(0)} s: sent ${account.sent}, answered ${account.answered}, resident ${resident}`)
  }
  return samples
}
