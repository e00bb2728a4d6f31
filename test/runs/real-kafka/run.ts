import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { freemem, loadavg, totalmem } from 'node:os'
import { basename, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Command } from 'commander'
import Mocha from 'mocha'
import { type Failure, runAgain } from '../../support/run-again.js'
import { shareTarget } from '../../support/target-cluster.js'
import '../../support/whole-values.js'
import { failuresOf } from '../../support/tell-failures.js'
import { countOption, seedOption, toolOptions, usageError } from '../../support/tool-options.js'
import { endOnSignals } from '../tool.js'
import { KafkaCluster } from './cluster.js'
import { kafkaClasspath } from './jars.js'
import { requirePrograms } from './requirements.js'
import { asTarget, setRunningKafka } from './shared-cluster.js'

const command = new Command('npm run test:kafka --')
  .description(
    'The integration suite and the tests of test/runs/real-kafka against real Kafka. The cluster runs below this process and mocha\n' +
      'inside it, so that tests can kill and pause brokers.'
  )
  .argument('[FILE...]', 'test files; default: all of them')
  .option('--grep <TEXT>', 'only tests whose title contains this')
  .option('--short', 'without chaos, kills, restarts of the whole cluster, and the slowest, as in CI')
  .addOption(countOption('--jobs <N>', 'processes that share the files, each with a cluster of its own', 1))
  .addOption(seedOption())
interface Options {
  readonly seed: number
  readonly jobs: number
  readonly grep?: string
  readonly short?: true
}
const options = toolOptions<Options>(command)
process.env.TEST_SEED = String(options.seed)
for (const file of command.args) if (!existsSync(file)) usageError(command, `there is no file ${file}`)

const filesEndingWith = (folder: string, end: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith(end))
    .sort()
    .map(name => join(folder, name))

/**
 * What they test is between clients and gateways. They start embedded brokers of their own, for their faults, so that here
 * they would only run a second time; `keys-of-killed-peers.explore.test.ts` tries keys and gateways with real Kafka.
 */
const ofClientsAlone = [
  'many-connections',
  'consume-loops',
  'cors',
  'ended-streams',
  'idempotency',
  'idempotency-early',
  'idempotency-requests',
  'keys-of-peers',
  'pixy-forbidden',
  'queues-behind-nginx',
  'queues-without-registry',
  'receipt-patterns',
  'tracing'
]

/**
 * Chaos, kills, restarts of the whole cluster, and what takes longest: CI leaves these to `npm run explore`. Of what is told
 * by the gateway alone, CI has seen the same on the embedded broker: limits, waits that end, open streams. Kafka-Pixy's gRPC
 * reads with the groups that `pixy-consume` tries over HTTP.
 */
const forHours = [
  ...[
    'admin-tools',
    'another-cluster',
    'chaos',
    'clocks',
    'doctor',
    'group-facts',
    'instances-log-cleaning',
    'java-embedded',
    'kcat-embedded',
    'lag',
    'late-calls',
    'late-changes',
    'mixed-groups',
    'no-auto-creation',
    'no-share-state',
    'queue-run',
    'queues-of-gateways',
    'queues-under-faults',
    'rights',
    'share-facts',
    'short-sessions',
    'shrunk-topics',
    'transactions',
    'webhook-run'
  ].map(name => `${name}.kafka.test.ts`),
  ...[
    'arion-durable',
    'bystanders',
    'confluent-open-streams',
    'group-starts',
    'losses',
    'pixy-durable',
    'pixy-grpc',
    'queue-readers',
    'queues',
    'retention',
    'stream-of-a-topic'
  ].map(name => `${name}.system.test.ts`),
  ...[
    'admission',
    'commit-order',
    'confluent-durable',
    'confluent-many-streams',
    'confluent-schemas',
    'consume-patterns',
    'consumer-instances',
    'cut-logs',
    'fairness',
    'fetch-sessions',
    'instances-of-gateways',
    'leader-moves'
  ],
  ...['receipts', 'record-headers', 'small-buffer', 'stopped-waits', 'transactional-acks']
]
const isForHours = (file: string): boolean =>
  file.endsWith('.explore.test.ts') || forHours.some(name => basename(file).startsWith(name))

/** Single tests of other files that are for hours, too: nodes that are killed and restart, and the slowest. */
const forHoursByTitle = new RegExp(
  [
    'codecs through the embedded broker',
    'ekaf 19, 20: nodes restart one after another',
    'through a node that is killed',
    'when a broker is killed and comes back',
    'a broker that is gone, a partition without a leader',
    'arion 23: a topic that does not exist',
    'confluent 61: an instance that is not used',
    'pixy H50: one message more',
    'pixy H56: a process with a message that is not acknowledged',
    'created anew with fewer, and with later ones'
  ].join('|')
)

const files =
  command.args.length > 0
    ? command.args.map(file => resolve(file))
    : [
        ...filesEndingWith(import.meta.dirname, '.kafka.test.ts'),
        ...filesEndingWith(join(import.meta.dirname, '../integration'), '.test.ts').filter(
          file => !ofClientsAlone.includes(basename(file).split('.')[0]!)
        )
      ].filter(file => !options.short || !isForHours(file))

/** How many seconds each file took, with its hooks. */
const seconds = new Map<string, number>()

interface Run {
  readonly passed: number
  readonly skipped: number
  readonly failures: readonly Failure[]
}

/** @param again set for a second run, which needs modules that have not run yet */
async function runMocha(
  cluster: KafkaCluster,
  some: readonly string[],
  grep?: string | RegExp,
  again = ''
): Promise<Run> {
  const mocha = new Mocha({ timeout: 120_000, forbidOnly: true, ...(grep && { grep }) })
  if (options.short && grep === undefined) mocha.grep(forHoursByTitle).invert()
  for (const file of some) {
    // Loaded here, since mocha's own loader may give the tests another copy of the modules that hold the cluster.
    mocha.suite.emit('pre-require', globalThis, file, mocha)
    mocha.suite.emit('require', await import(pathToFileURL(file).href + again), file, mocha)
    mocha.suite.emit('post-require', globalThis, file, mocha)
  }
  return await new Promise(done => {
    const runner = mocha.run(() => {
      const { passes = 0, pending = 0 } = runner.stats ?? {}
      done({ passed: passes, skipped: pending, failures })
    })
    const failures = failuresOf(runner)
    let endedAt = performance.now()
    runner.on('suite end', ({ parent, file = '' }) => {
      if (!parent?.root) return
      const now = performance.now()
      seconds.set(file, (seconds.get(file) ?? 0) + (now - endedAt) / 1_000)
      endedAt = now
    })
    // Told at once: a run that is ended by its limit never gets to mocha's list of failures.
    runner.on('fail', (test, error: Error) => {
      error.stack += `\n    beside: ${stateOf(cluster)}`
      console.log(`FAILED: ${test.fullTitle()}\n${error.stack}`)
    })
  })
}

/** What the files say together. What fails runs once more, on the same cluster. */
async function runAll(
  cluster: KafkaCluster,
  nextFiles: () => Promise<readonly string[]>
): Promise<{ passed: number; failed: number }> {
  let passed = 0
  let skipped = 0
  const failures: Failure[] = []
  for (let some = await nextFiles(); some.length > 0; some = await nextFiles()) {
    const ran = await runMocha(cluster, some, options.grep)
    passed += ran.passed
    skipped += ran.skipped
    failures.push(...ran.failures)
  }
  const red = await runAgain(failures, `seed ${process.env.TEST_SEED}, log above`, async ({ file, grep }) => {
    const again = await runMocha(cluster, [file], grep && new RegExp(grep), `?again=${performance.now()}`)
    return again.passed > 0 && again.failures.length === 0
  })
  // A test that is skipped is a promise that was not kept: nothing here may be left out silently.
  return { passed: passed + failures.length - red, failed: red + skipped }
}

/** What may have made a test fail that did nothing wrong: a slow machine, or a node that is in trouble. */
function stateOf(cluster: KafkaCluster): string {
  const [load] = loadavg()
  const machine = `load ${load!.toFixed(1)}, ${Math.round(freemem() / 2 ** 20)} of ${Math.round(totalmem() / 2 ** 20)} MB free`
  const nodes = cluster.nodeIds.map(nodeId => {
    const [lastLine = ''] = cluster.log(nodeId).trimEnd().split('\n').slice(-1)
    return `node ${nodeId} ${cluster.isRunning(nodeId) ? 'runs' : 'is down'}: ${lastLine.slice(0, 200)}`
  })
  return [machine, ...nodes].join('\n      ')
}

/** Runs files on a cluster of its own. */
async function runOnCluster(nextFiles: () => Promise<readonly string[]>): Promise<{ passed: number; failed: number }> {
  const startedAt = performance.now()
  const cluster = await KafkaCluster.start()
  const upAfter = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`Apache Kafka ${cluster.version}, 3 nodes, up in ${upAfter} s: ${cluster.bootstrap}`)
  try {
    setRunningKafka(cluster)
    shareTarget(asTarget(cluster))
    const result = await runAll(cluster, nextFiles)
    const slowest = [...seconds].sort(([, one], [, other]) => other - one).slice(0, 20)
    for (const [file, took] of slowest) console.log(`${took.toFixed(1).padStart(7)} s  ${relative('.', file)}`)
    console.log(`${result.passed} passed, ${result.failed} failed`)
    return result
  } finally {
    await cluster.stop()
  }
}

/** With one job all files run as one suite. */
function allAtOnce(): () => Promise<readonly string[]> {
  let left = files
  return async () => {
    const some = left
    left = []
    return some
  }
}

/** In a process of several: each file is asked for when the one before it has ended. */
async function oneByOne(): Promise<readonly string[]> {
  process.send!('next')
  const [file] = await once(process, 'message')
  return file === '' ? [] : [file]
}

/** Gives files to a process until none is left. What it prints is shown file by file, so that two do not mix. */
async function runPart(left: string[], number: number): Promise<{ passed: number; failed: number }> {
  const child = fork(import.meta.filename, [...process.argv.slice(2), '--seed', String(options.seed)], {
    env: { ...process.env, KAFKA_PART: String(number) },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc']
  })
  let printed = ''
  let last = ''
  const show = (): void => {
    process.stdout.write(printed)
    last = printed
    printed = ''
  }
  child.stdout!.setEncoding('utf8').on('data', text => (printed += text))
  child.on('message', () => {
    show()
    child.send(left.shift() ?? '')
  })
  await once(child, 'close')
  show()
  const told = /^(\d+) passed, (\d+) failed$/m.exec(last)
  return told === null ? { passed: 0, failed: 1 } : { passed: Number(told[1]), failed: Number(told[2]) }
}

async function main(): Promise<number> {
  if (process.env.KAFKA_PART !== undefined) {
    process.once('disconnect', () => process.exit(130))
    return exitCodeOf(await runOnCluster(oneByOne))
  }
  requirePrograms('java', 'keytool', 'mvn', 'kcat')
  console.log(files.map(file => `  ${relative('.', file)}`).join('\n'))
  if (options.jobs === 1) return exitCodeOf(await runOnCluster(allAtOnce()))
  const left = [...files]
  // Two at once would get the same jars twice.
  await kafkaClasspath()
  const parts = await Promise.all(Array.from({ length: options.jobs }, (_, number) => runPart(left, number)))
  const sum = {
    passed: parts.reduce((all, { passed }) => all + passed, 0),
    failed: parts.reduce((all, { failed }) => all + failed, 0)
  }
  console.log(`${sum.passed} passed, ${sum.failed} failed`)
  return exitCodeOf(sum)
}

const exitCodeOf = ({ passed, failed }: { passed: number; failed: number }): number =>
  failed > 0 || passed === 0 ? 1 : 0

// However it ends, the workspace's janitor stops the brokers.
endOnSignals()

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  console.log('0 passed, 1 failed')
  process.exitCode = 1
}
process.exit()
