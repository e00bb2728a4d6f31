import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SeededRandom } from '../../support/random.js'
import { HttpClient } from '../http-client.js'
import { Gateway } from '../kill/gateway.js'
import { type FromBroker, soakTopics, type ToBroker } from './protocol.js'
import { messageOf, type Sample, slopePerMinute } from './samples.js'

const SAMPLE_MS = 1_000
const PAGE_BYTES = 4_096

interface SoakOptions {
  readonly seconds: number
  readonly seed: number
  readonly clients: number
  readonly onSample: (line: string) => void
}

interface SoakReport {
  readonly sent: number
  readonly answered: number
  readonly statuses: Readonly<Record<string, number>>
  readonly faultsFired: Readonly<Record<string, number>>
  readonly maxMb: number
  readonly slopeMbPerMinute: number
  readonly exitCode: number | null
}

/** Clients of two APIs ask a gateway whose brokers fail at random; its memory is watched. */
export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const directory = mkdtempSync(join(tmpdir(), 'castellan-soak-'))
  const broker = fork(join(import.meta.dirname, 'broker-process.ts'), [String(options.seed)], {
    execArgv: ['--import', 'tsx']
  })
  const { bootstrap } = await messageOf(broker, 'up')
  const flags = ['advanced.router.callTimeoutMs=2000']
  const gateway = await Gateway.make({ directory, bootstrap, flags })
  try {
    await gateway.start()
    return await soak(options, broker, gateway)
  } finally {
    gateway.end()
    broker.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
}

async function soak(
  { seconds, seed, clients, onSample }: SoakOptions,
  broker: ChildProcess,
  gateway: Gateway
): Promise<SoakReport> {
  const random = new SeededRandom(seed)
  const account: Account = { sent: 0, answered: 0, statuses: new Map(), asks: true }
  const running = Array.from({ length: clients }, (_, number) =>
    useGateway(gateway.url, new SeededRandom(random.between(0, 2 ** 31)), number, account)
  )
  const samples = await watch(gateway.pid, seconds, account, onSample)
  account.asks = false
  const healed = messageOf(broker, 'healed')
  broker.send({ type: 'heal' } satisfies ToBroker)
  const { faultsFired }: Extract<FromBroker, { type: 'healed' }> = await healed
  await Promise.all(running)
  const exitCode = await gateway.stop()
  const { sent, answered, statuses } = account
  const [maxMb, slopeMbPerMinute] = [Math.max(...samples.map(({ rssMb }) => rssMb)), slopePerMinute(samples)]
  return { sent, answered, statuses: Object.fromEntries(statuses), faultsFired, maxMb, slopeMbPerMinute, exitCode }
}

interface Account {
  sent: number
  answered: number
  /** False: clients finish what they have asked and ask no more. */
  asks: boolean
  readonly statuses: Map<string, number>
}

/** Pushes, synchronously or not, and asks for messages; a third of it all over a new connection. */
async function useGateway(url: string, random: SeededRandom, number: number, account: Account): Promise<void> {
  let client = new HttpClient(url)
  while (account.asks) {
    const topic = random.pick(soakTopics)
    const dice = random.next()
    account.sent++
    const answer =
      dice < 0.8
        ? await client.ask('POST', '/kprf/push', {
            body: pushOf(topic, dice < 0.4, random),
            headers: { 'content-type': 'application/json' }
          })
        : await client.ask('GET', `/pixy/topics/${topic}/messages?group=soak-${number % 20}`)
    const status = answer?.status
    if (status !== undefined) account.answered++
    account.statuses.set(String(status), (account.statuses.get(String(status)) ?? 0) + 1)
    if (random.next() < 0.3) {
      client.close()
      client = new HttpClient(url)
    }
    await sleep(random.between(5, 100))
  }
  client.close()
}

function pushOf(topic: string, isSync: boolean, random: SeededRandom): string {
  const records = Array.from({ length: random.between(1, 5) }, () => ({
    topic,
    key: `k${random.between(0, 50)}`,
    data: 'x'.repeat(random.between(0, 4_000))
  }))
  return JSON.stringify({ records, wait_for_send: isSync })
}

const residentMb = (pid: number): number =>
  (Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES) / 2 ** 20

async function watch(
  pid: number,
  seconds: number,
  account: Account,
  onSample: SoakOptions['onSample']
): Promise<Sample[]> {
  const samples: Sample[] = []
  const startedAt = performance.now()
  for (let count = 1; performance.now() - startedAt < seconds * 1_000; count++) {
    await sleep(SAMPLE_MS)
    const atMs = performance.now() - startedAt
    samples.push({ atMs, rssMb: residentMb(pid) })
    if (count % 10 > 0) continue
    const resident = `${samples.at(-1)!.rssMb.toFixed(0)} MB`
    onSample(`${(atMs / 1_000).toFixed(0)} s: sent ${account.sent}, answered ${account.answered}, resident ${resident}`)
  }
  return samples
}
