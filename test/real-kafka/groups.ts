import { Command } from 'commander'
import { endOnSignals, sayWithTime } from '../support/tool.js'
import { countOption, seedOption, toolOptions } from '../support/tool-options.js'
import { KafkaCluster } from './cluster.js'
import { runGroups } from './groups/run-groups.js'
import { requirePrograms } from './requirements.js'

const { records, ends, brokers, seed } = toolOptions<{
  readonly records: number
  readonly ends: number
  readonly brokers: number
  readonly seed: number
}>(
  new Command('node --import tsx test/real-kafka/groups.ts')
    .description(
      'A consumer group whose processes are killed and replaced, against a real cluster whose nodes are killed. Build first.'
    )
    .addOption(countOption('--records <N>', 'messages that are consumed', 1_000_000))
    .addOption(countOption('--ends <N>', 'ends of processes', 50, 0))
    .addOption(countOption('--brokers <N>', 'kills of brokers', 10, 0))
    .addOption(seedOption())
)
endOnSignals()

const say = sayWithTime()
say(`seed ${seed}`)
try {
  requirePrograms('java', 'keytool', 'mvn')
  const cluster = await KafkaCluster.start({ 'group.min.session.timeout.ms': 1_000 })
  try {
    say(`Apache Kafka ${cluster.version}, 3 nodes: ${cluster.bootstrap}`)
    const { problems, summary } = await runGroups({
      cluster,
      seed,
      records,
      partitions: 12,
      processes: 3,
      processEnds: ends,
      brokerKills: brokers,
      pauseMs: { from: 1_500, to: 3_500 },
      settings: {
        start: 'earliest',
        sessionTimeoutMs: 2_000,
        heartbeatIntervalMs: 300,
        revocationMs: 500,
        ackTimeoutMs: 30_000
      },
      say
    })
    say(summary)
    console.log(problems.length === 0 ? 'OK' : `FAILED (seed ${seed}):\n${problems.slice(0, 20).join('\n')}`)
    process.exitCode = problems.length === 0 ? 0 : 1
  } finally {
    await cluster.stop()
  }
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
process.exit()
