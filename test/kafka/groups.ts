import { parseArgs } from 'node:util'
import { KafkaCluster } from './cluster.js'
import { runGroups } from './groups/run-groups.js'
import { requirePrograms } from './requirements.js'

/**
 * `npm run build && node --import tsx test/kafka/groups.ts [--records 1000000] [--ends 50] [--brokers 10] [--seed N]`:
 * a consumer group whose processes are killed and replaced, against a real cluster whose nodes are killed.
 */
const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '1000000' },
    ends: { type: 'string', default: '50' },
    brokers: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) }
  }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const startedAt = performance.now()
const say = (line: string): void =>
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)
say(`seed ${values.seed}`)
try {
  requirePrograms('java', 'keytool', 'mvn')
  const cluster = await KafkaCluster.start({ 'group.min.session.timeout.ms': 1_000 })
  try {
    say(`Apache Kafka ${cluster.version}, 3 nodes: ${cluster.bootstrap}`)
    const { problems, summary } = await runGroups({
      cluster,
      seed: Number(values.seed),
      records: Number(values.records),
      partitions: 12,
      processes: 3,
      processEnds: Number(values.ends),
      brokerKills: Number(values.brokers),
      pauseMs: { from: 1_500, to: 3_500 },
      settings: {
        start: 'earliest',
        sessionTimeoutMs: 2_000,
        heartbeatIntervalMs: 300,
        handOverMs: 500,
        ackTimeoutMs: 30_000
      },
      say
    })
    say(summary)
    console.log(problems.length === 0 ? 'OK' : `FAILED (seed ${values.seed}):\n${problems.slice(0, 20).join('\n')}`)
    process.exitCode = problems.length === 0 ? 0 : 1
  } finally {
    await cluster.stop()
  }
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
process.exit()
