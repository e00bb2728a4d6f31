/**
 * `npm run explore -- --minutes N --seed S`: everything whose moments no seed decides, for hours. Each round is all of
 * {@link RUNS} in an order that the seed gives, each with a seed of its own. A line tells what ran; a failure, how to
 * repeat it, and where its log is kept.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { SeededRandom, shuffled } from '../support/random.js'
import { countOption, seedOption, toolOptions, usageError } from '../support/tool-options.js'

type CommandLine = (seed: number) => string

const onNode =
  (version: number, kind: string): CommandLine =>
  seed =>
    `npx -y -p node@${version} -- node --import tsx test/run.ts ${kind} --seed ${seed}`

/** Those of real Kafka need a JDK, Maven and kcat. */
const RUNS: Readonly<Record<string, CommandLine>> = {
  worlds: seed => `npm run simulate -- --seeds ${seed}-${seed + 499} --jobs 2`,
  'chaos, kills and disks': seed => `npm run test:explored -- --seed ${seed}`,
  'long tests': seed => `npm run test:system -- --seed ${seed}`,
  'real sockets': seed => `npm run test:sockets -- --seed ${seed}`,
  'slow machine': seed => `npm run test:slow-machine -- --seed ${seed}`,
  'node 22': onNode(22, ''),
  'node 22, real sockets': onNode(22, '--sockets'),
  'node 24': onNode(24, ''),
  'node 24, real sockets': onNode(24, '--sockets'),
  'killed gateway': seed => `npm run test:kill -- --on embedded --kills 20 --records 300000 --seed ${seed}`,
  'killed gateway and Kafka': seed =>
    `npm run test:kill -- --on kafka kafka-killed --kills 10 --records 200000 --seed ${seed}`,
  'two killed gateways': seed => `npm run test:kill:gateways -- --seed ${seed}`,
  'acknowledged anywhere': seed =>
    `npm run test:kill:gateways -- --on embedded --kills 0 --broker-kills 0 --pauses 0 --instances 0 --groups 1 --clients 64 --records-per-second 500 --seed ${seed}`,
  'hostile clients': seed => `npm run test:hostile -- --seconds 300 --seed ${seed}`,
  'hostile clients in 256 MB': seed => `npm run test:hostile -- --seconds 300 --heap 256 --seed ${seed}`,
  'few bytes': seed => `npm run test:hostile -- --few-bytes --seconds 600 --seed ${seed}`,
  'few bytes, 30 at once': seed => `npm run test:hostile -- --few-bytes --seconds 300 --connections 30 --seed ${seed}`,
  'as node:http': seed => `npm run test:fuzz -- --requests 1000000 --repeatable --seed ${seed}`,
  backlog: () => 'npm run test:backlog -- --gb 1',
  soak: seed => `node --import tsx test/runs/soak/soak.ts --seconds 300 --seed ${seed}`,
  memory: seed => `node --import tsx test/runs/soak/memory.ts --minutes 15 --seed ${seed}`,
  'real registry': () => 'npm run test:registry -- ',
  'real Kafka': seed => `npm run test:kafka -- --seed ${seed}`,
  'real Kafka 4.4.0': seed => `KAFKA_VERSION=4.4.0 npm run test:kafka -- --seed ${seed}`,
  'doctor on Kafka 3.9': seed =>
    `KAFKA_VERSION=3.9.2 npm run test:kafka -- test/runs/real-kafka/doctor.kafka.test.ts --seed ${seed}`
}

const command = new Command('npm run explore --')
  .description(
    'Runs with random faults and moments, until the time is over; the last one ends by itself. A run of several minutes\n' +
      'that fails prints the command that repeats it, and its log stays in .cache/explore.'
  )
  .addOption(countOption('--minutes <N>', 'how long runs are started', 60))
  .option('--only <TEXT>', 'only runs whose name contains this', '')
  .addOption(seedOption())
const { minutes, only, seed } = toolOptions<{ readonly minutes: number; readonly only: string; readonly seed: number }>(
  command
)
const chosen = Object.entries(RUNS).filter(([name]) => name.includes(only))
if (chosen.length === 0) usageError(command, `--only ${only}: there are ${Object.keys(RUNS).join('; ')}`)

const folder = join('.cache/explore', String(seed))
mkdirSync(folder, { recursive: true })
const endsAt = Date.now() + minutes * 60_000
const random = new SeededRandom(seed)
let failed = 0
let unstable = 0

async function explore(name: string, line: string, ofRun: number, log: string): Promise<void> {
  const output = openSync(log, 'w')
  const startedAt = performance.now()
  const child = spawn('bash', ['-c', `exec env ${line}`], { stdio: ['ignore', output, output] })
  const stop = (): void => {
    child.kill()
    process.exit(130)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
  const [code] = await once(child, 'exit')
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
  closeSync(output)
  const redOnce = readFileSync(log, 'utf8').match(/^unstable: .*/gm) ?? []
  const seconds = Math.round((performance.now() - startedAt) / 1_000)
  const verdict = code !== 0 ? 'FAILED' : redOnce.length > 0 ? 'unstable' : 'ok'
  const told = [name.padEnd(28), `seed ${ofRun}`.padEnd(16), `${seconds} s`.padStart(7), verdict]
  console.log(verdict === 'ok' ? told.join(' ') : `${told.join(' ')}; again: ${line}; log ${log}`)
  for (const test of redOnce) console.log(`  ${test}`)
  unstable += redOnce.length
  if (code !== 0) failed++
  if (verdict === 'ok') rmSync(log)
}

console.log(`${chosen.length} kinds of runs for ${minutes} minutes; again: npm run explore -- --seed ${seed}`)
let runs = 0
while (Date.now() < endsAt) {
  for (const [name, commandLine] of shuffled(chosen, random.between(0, 2 ** 31 - 1))) {
    if (Date.now() >= endsAt) break
    const ofRun = random.between(1, 1_000_000)
    await explore(
      name,
      commandLine(ofRun),
      ofRun,
      join(folder, `${++runs}-${name.replaceAll(/[^a-zA-Z0-9]+/g, '-')}.log`)
    )
  }
}
console.log(`${runs - failed} passed, ${failed} failed, ${unstable} unstable tests; seed ${seed}`)
process.exitCode = failed > 0 ? 1 : 0
