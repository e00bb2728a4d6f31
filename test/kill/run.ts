import { parseArgs } from 'node:util'
import { KafkaCluster } from '../kafka/cluster.js'
import { requirePrograms } from '../kafka/requirements.js'
import { asTarget } from '../kafka/shared-cluster.js'
import { explain } from '../support/history-checker.js'
import { type TargetCluster, targetCluster } from '../support/target-cluster.js'
import { type KillOptions, problemsOf, runKill } from './run-kill.js'

/**
 * Clients of every kind write while the gateway is killed at random moments; in the end everything that is in Kafka is
 * compared with what they were told.
 *
 *   npm run test:kill                                 the embedded broker, then real Kafka, then with brokers killed too
 *   npm run test:kill -- --on kafka --kills 10 --records 100000 --seed 7
 *   npm run test:kill -- --on embedded --workers 2    one of two workers is killed, or the process that started them, or all
 */
const { values } = parseArgs({
  options: {
    on: { type: 'string', multiple: true, default: ['embedded', 'kafka', 'kafka-killed'] },
    kills: { type: 'string', default: '50' },
    records: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String((Math.random() * 2 ** 31) | 0) },
    workers: { type: 'string', default: '1' },
    set: { type: 'string', multiple: true, default: [] }
  }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const startedAt = performance.now()
const say = (line: string): void =>
  console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(7)} s  ${line}`)

async function runOn(where: string): Promise<boolean> {
  const cluster = await clusterOf(where)
  const options: KillOptions = {
    cluster: cluster.target,
    kills: Number(values.kills),
    records: Number(values.records),
    clients: { sync: 24, async: 24, websocket: 8, kprf: 8, kafboy: 8 },
    seed: Number(values.seed),
    killsBrokers: where === 'kafka-killed',
    workers: Number(values.workers),
    settings: values.set,
    say
  }
  say(`${where}, seed ${options.seed}: ${options.kills} kills, ${options.records} records, ${options.workers} workers`)
  try {
    const result = await runKill(options)
    const { kills, brokerKills, slowestStartMs, seconds } = result
    say(
      `${where}: ${kills} kills of the gateway, ${brokerKills} of brokers, in ${seconds.toFixed(0)} s; ` +
        `slowest start ${slowestStartMs.toFixed(0)} ms`
    )
    console.log(explain(result.verdict))
    const problems = problemsOf(result, options)
    console.log(problems.length === 0 ? 'OK' : `FAILED (seed ${options.seed}):\n${problems.slice(0, 20).join('\n')}`)
    return problems.length === 0
  } finally {
    await cluster.close()
  }
}

async function clusterOf(where: string): Promise<{ readonly target: TargetCluster; close(): Promise<void> }> {
  if (where === 'embedded') {
    const target = await targetCluster()
    return { target, close: () => target.close() }
  }
  if (where !== 'kafka' && where !== 'kafka-killed') throw new Error(`--on takes embedded, kafka or kafka-killed`)
  requirePrograms('java', 'keytool', 'mvn', 'kcat')
  const cluster = await KafkaCluster.start()
  return { target: asTarget(cluster), close: () => cluster.stop() }
}

let failures = 0
for (const where of values.on) {
  try {
    if (!(await runOn(where))) failures++
  } catch (error) {
    console.error(error)
    failures++
  }
}
process.exit(failures === 0 ? 0 : 1)
