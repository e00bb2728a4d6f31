import { Command, Option } from 'commander'
import { explain } from '../../support/history-checker.js'
import { countOption, listOption, seedOption, toolOptions } from '../../support/tool-options.js'
import { endOnSignals, sayWithTime } from '../tool.js'
import { clusterOf } from './clusters.js'
import { type KillOptions, problemsOf, runKill } from './run-kill.js'

const CLUSTERS = ['embedded', 'kafka', 'kafka-killed'] as const
type ClusterName = (typeof CLUSTERS)[number]

const values = toolOptions<{
  readonly on: readonly ClusterName[]
  readonly kills: number
  readonly records: number
  readonly seed: number
  readonly set: readonly string[]
}>(
  new Command('npm run test:kill --')
    .description(
      'Clients of every kind write while the gateway is killed at random moments; in the end everything that is in Kafka is\n' +
        'compared with what they were told.'
    )
    .addOption(
      new Option('--on <WHERE...>', 'the embedded broker, real Kafka, or real Kafka whose brokers are killed, too')
        .choices(CLUSTERS)
        .default([...CLUSTERS])
    )
    .addOption(countOption('--kills <N>', 'kills of the gateway', 50))
    .addOption(countOption('--records <N>', 'records that are written', 1_000_000))
    .addOption(seedOption())
    .addOption(listOption('--set <NAME=VALUE>', 'settings of the gateway'))
)
endOnSignals()

const say = sayWithTime()

async function runOn(where: ClusterName): Promise<boolean> {
  const cluster = await clusterOf(where === 'embedded' ? where : 'kafka')
  const options: KillOptions = {
    cluster: cluster.target,
    kills: values.kills,
    records: values.records,
    clients: {
      ...{ sync: 24, async: 24, websocket: 8, kprf: 8, kafboy: 8 },
      ...{ keyedSync: 16, keyedAsync: 16 },
      ...{ confluentV2: 8, confluentV3: 8, confluentStream: 4 }
    },
    seed: values.seed,
    killsBrokers: where === 'kafka-killed',
    settings: values.set,
    say
  }
  say(`${where}, seed ${options.seed}: ${options.kills} kills, ${options.records} records`)
  try {
    const result = await runKill(options)
    const { kills, brokerKills, slowestStartMs, seconds } = result
    say(
      `${where}: ${kills} kills of the gateway, ${brokerKills} of brokers, in ${seconds.toFixed(0)} s; ` +
        `slowest start ${slowestStartMs.toFixed(0)} ms`
    )
    console.log(explain(result.verdict))
    const { receipts, keys } = result
    say(`${keys.keys} keys: ${keys.keys - keys.wrong.length} with one record, ${keys.wrong.length} wrong`)
    say(
      `${receipts.receipts} receipts: ${receipts.answers} answers, ${receipts.waiting} of them that a record waits, ` +
        `${receipts.withoutOffset} without an offset, ` +
        `${receipts.wrong.length} wrong`
    )
    const problems = problemsOf(result, options)
    console.log(problems.length === 0 ? 'OK' : `FAILED (seed ${options.seed}):\n${problems.slice(0, 20).join('\n')}`)
    return problems.length === 0
  } finally {
    await cluster.close()
  }
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
