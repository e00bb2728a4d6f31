import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { Children } from '../../cli/child.js'
import { HostileHttp, play } from '../../support/hostile-http.js'
import { SeededRandom } from '../../support/random.js'
import { countOption, seedOption, toolOptions, usageError } from '../../support/tool-options.js'
import { brokerAttacks } from './broker-attacks.js'
import { startEvilBroker } from './evil-broker.js'
import { GatewayUnderAttack } from './gateway-process.js'
import { grpcAttacks } from './grpc-attacks.js'
import { heavyAttacks } from './heavy-attacks.js'
import { type Attack, httpAttacks, type Targets } from './http-attacks.js'
import type { PoliteReport } from './polite-client.js'

const FEW_BYTES_SECONDS = 60

const command = new Command('npm run test:hostile --')
  .description(
    'Attacks at random on a gateway in a process of its own, beside one polite client. Whatever is done to the gateway, the\n' +
      "polite client's records must arrive within their deadline, memory must stay bounded, and in the end nothing may be held."
  )
  .addOption(countOption('--seconds <S>', 'how long', 600))
  .option('--only <TEXT>', 'only attacks whose name contains this', '')
  .addOption(
    countOption('--heap <MB>', 'the heap of the gateway; in a small one the polite client has a limit in ms', 0)
  )
  .option('--few-bytes', 'in place of attacks: single requests of few bytes that ask for much work, for 60 s')
  .addOption(countOption('--connections <N>', 'with --few-bytes: how many send each request at once', 1))
  .addOption(seedOption())
const { seconds, seed, only, heap, fewBytes, connections } = toolOptions<{
  readonly seconds: number
  readonly fewBytes?: true
  readonly connections: number
  readonly seed: number
  readonly only: string
  readonly heap: number
}>(command)
if (fewBytes) {
  const isDefault = command.getOptionValueSource('seconds') === 'default'
  const { runFewBytes } = await import('./few-bytes/run-few-bytes.js')
  const failed = await runFewBytes({ seconds: isDefault ? FEW_BYTES_SECONDS : seconds, seed, only, connections })
  process.exit(failed === 0 ? 0 : 1)
}
const attacks = Object.entries<Attack>({ ...httpAttacks, ...heavyAttacks, ...grpcAttacks, ...brokerAttacks })
const chosen = attacks.filter(([name]) => name.includes(only))
if (chosen.length === 0)
  usageError(
    command,
    `--only ${only}: no attack has it in its name; there are ${attacks.map(([name]) => name).join(', ')}`
  )

const ATTACKERS = 3
const FUZZERS = 10
const FUZZED_PER_SECOND = 200
const QUIET_SHARE = 0.15
const MAX_RSS_BYTES = 768 * 1024 * 1024
const WANTED_RATIO = 5
/** Limit of the polite client's p99 in a small heap, on a machine that answers within the other limit while all is quiet. */
const MAX_P99_MS = 500
const QUIET_P99_MS = 20
/** Pushes before anything is measured: the first ones find nothing compiled and no topic. */
const WARM_UP = 100
/** A connection that holds on is cut by one of the time-outs of a request. */
const REST_MS = 45_000

let passed = 0
const failures: string[] = []
function check(name: string, problem: string | undefined): void {
  if (problem === undefined) passed++
  else failures.push(`${name}: ${problem}`)
}

async function attack(targets: Targets, random: SeededRandom, counts: Map<string, number>, signal: AbortSignal) {
  while (!signal.aborted) {
    const [name, run] = random.pick(chosen)
    counts.set(name, (counts.get(name) ?? 0) + 1)
    check(name, await run(targets, random).catch((error: Error) => (signal.aborted ? undefined : error.message)))
    await sleep(random.between(0, 100))
  }
}

/** Requests with damaged or cut bodies, so many a second that ten minutes are 100,000 of them. */
async function fuzz({ url }: Targets, random: SeededRandom, signal: AbortSignal): Promise<number> {
  const hostile = new HostileHttp(random)
  const startedAt = performance.now()
  let requests = 0
  const worker = async (): Promise<void> => {
    while (!signal.aborted) {
      if (requests > ((performance.now() - startedAt) / 1_000) * FUZZED_PER_SECOND) {
        await sleep(20)
        continue
      }
      const script = hostile.next()
      requests += script.requests
      check('requests that break off anywhere', await play(url, script))
    }
  }
  await Promise.all(Array.from({ length: FUZZERS }, worker))
  return requests
}

async function run(children: Children): Promise<void> {
  const random = new SeededRandom(seed)
  const evil = await startEvilBroker(random)
  const under = await GatewayUnderAttack.start(children, `127.0.0.1:${evil.address.port}`, heap)
  const targets = {
    url: under.gateway.url,
    management: under.gateway.management,
    grpcPort: under.grpcPort,
    broker: under.broker
  }
  const polite = fork(join(import.meta.dirname, 'polite-process.ts'), [targets.url], { execArgv: ['--import', 'tsx'] })
  const ask = async (word: 'report' | 'stop'): Promise<PoliteReport> => {
    polite.send(word)
    const [report] = (await once(polite, 'message')) as [PoliteReport]
    return report
  }

  while ((await ask('report')).answered < WARM_UP) await sleep(100)
  await sleep(seconds * QUIET_SHARE * 1_000)
  const { p99Ms: quietMs } = await ask('report')
  const end = new AbortController()
  const counts = new Map<string, number>()
  const attackers = Array.from({ length: ATTACKERS }, () => attack(targets, random, counts, end.signal))
  const fuzzed = fuzz(targets, random, end.signal)
  const attackedUntil = performance.now() + seconds * (1 - QUIET_SHARE) * 1_000
  while (performance.now() < attackedUntil && under.gateway.child.isRunning) {
    await sleep(1_000)
    await under.look().catch((error: Error) => check('metrics while under attack', error.message))
  }
  const { p99Ms: hostileMs } = await ask('report')
  end.abort()
  await Promise.all(attackers)
  console.log(`${String(await fuzzed).padStart(6)} requests that break off anywhere`)
  const { answered, refused, problems } = await ask('stop')

  for (const [name, count] of [...counts].sort()) console.log(`${String(count).padStart(6)} × ${name}`)
  console.log(`polite client: ${answered} delivered, ${refused} refused, ${problems.length} failed`)
  const ratio = hostileMs / quietMs
  console.log(
    `its p99: ${quietMs.toFixed(1)} ms quiet, ${hostileMs.toFixed(1)} ms under attack, ratio ${ratio.toFixed(1)} (at most ${WANTED_RATIO} wanted)`
  )
  console.log(`peak RSS: ${Math.round(under.peakRssBytes / 1024 / 1024)} MiB (limit ${MAX_RSS_BYTES / 1024 / 1024})`)
  check('polite client', problems.length === 0 ? undefined : problems.slice(0, 5).join('; '))
  check('polite client is not refused', refused === 0 ? undefined : `${refused} times`)
  if (heap > 0 && quietMs > QUIET_P99_MS) console.log('the machine is too busy to judge its p99')
  else if (heap > 0) check('its p99 in a small heap', hostileMs < MAX_P99_MS ? undefined : `${hostileMs} ms`)
  check('memory', under.peakRssBytes <= MAX_RSS_BYTES ? undefined : `${under.peakRssBytes} bytes`)
  check('the process lives', under.gateway.child.isRunning ? undefined : 'it ended')
  const held = under.gateway.child.isRunning ? await under.stillHeld(REST_MS) : []
  check('nothing is held in the end', held.length === 0 ? undefined : held.join(', '))
  const crash = under.gateway.child.lines.find(line => /cannot recover from an error|failed unexpectedly/.test(line))
  check('no bug is logged', crash)
  check('it stops', (await under.gateway.child.stop()) === 0 ? undefined : 'with another exit code than 0')
  await evil.close()
}

const children = new Children()
console.log(`hostile clients for ${seconds} s, heap of ${heap || 'any'} MB, seed ${seed}`)
try {
  await run(children)
} catch (error) {
  check('the run', (error as Error).stack ?? String(error))
} finally {
  await children.stopAll()
}
for (const failure of failures.slice(0, 30)) console.log(`!!! ${failure}`)
console.log(`${passed} passed, ${failures.length} failed`)
process.exit(failures.length === 0 ? 0 : 1)
