import { Command, Option } from 'commander'
import { countOption, seedOption, toolOptions } from '../../support/tool-options.js'
import { endOnSignals, sayWithTime } from '../tool.js'
import { CLUSTERS, type ClusterName, clusterOf } from './clusters.js'
import { describeRun, runTwoGateways } from './two-gateways.js'

const values = toolOptions<{
  readonly on: readonly ClusterName[]
  readonly seconds: number
  readonly kills: number
  readonly brokerKills: number
  readonly pauses: number
  readonly instances: number
  readonly groups: number
  readonly clients: number
  readonly recordsPerSecond: number
  readonly seed: number
}>(
  new Command('npm run test:kill:gateways --')
    .description(
      'Clients of consumer instances and of groups send each request to one of two gateways that know each other, while\n' +
        'gateways and brokers are killed, and gateways stand still. In the end everything that each group was given and has\n' +
        'committed is checked.'
    )
    .addOption(
      new Option('--on <WHERE...>', 'the embedded broker, or real Kafka').choices(CLUSTERS).default([...CLUSTERS])
    )
    .addOption(countOption('--seconds <N>', 'how long records are written', 120))
    .addOption(countOption('--kills <N>', 'kills of gateways', 10, 0))
    .addOption(countOption('--broker-kills <N>', 'kills of brokers', 5, 0))
    .addOption(countOption('--pauses <N>', 'how often a gateway stands still for up to 8 s', 5, 0))
    .addOption(countOption('--instances <N>', 'consumer instances', 20, 0))
    .addOption(countOption('--groups <N>', "groups of Kafka-Pixy's API", 20))
    .addOption(countOption('--clients <N>', 'clients of each of these groups', 2))
    .addOption(countOption('--records-per-second <N>', 'records that are written', 50, 10))
    .addOption(seedOption())
)
endOnSignals()

const say = sayWithTime()
let failures = 0
for (const where of values.on) {
  const cluster = await clusterOf(where)
  try {
    const { seconds, instances, groups: pixyGroups, seed } = values
    say(`${where}, seed ${seed}: ${seconds} s, ${instances} instances, ${pixyGroups} groups`)
    const options = { ...values, maxPauseMs: 10_000, cluster: cluster.target, pixyGroups, say }
    const result = await runTwoGateways(options)
    console.log(`${where}: ${describeRun(result)}`)
    const { problems } = result
    console.log(problems.length === 0 ? 'OK' : `FAILED (seed ${seed}):\n${problems.slice(0, 20).join('\n')}`)
    if (problems.length > 0) failures++
  } catch (error) {
    console.error(error)
    failures++
  } finally {
    await cluster.close()
  }
}
process.exit(failures === 0 ? 0 : 1)
