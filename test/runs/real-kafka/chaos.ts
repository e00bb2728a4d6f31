import { Command } from 'commander'
import { countOption, listOption, seedOption, toolOptions } from '../../support/tool-options.js'
import { endOnSignals, sayWithTime } from '../tool.js'
import { problems, report, runChaos } from './chaos/run-chaos.js'
import { KafkaCluster } from './cluster.js'
import { requirePrograms } from './requirements.js'

const values = toolOptions<{
  readonly seconds: number
  readonly seed: number
  readonly controller: boolean
  readonly set: readonly string[]
}>(
  new Command('node --import tsx test/runs/real-kafka/chaos.ts')
    .description(
      'The gateway against a real cluster whose nodes are killed, paused, stopped and whose leaders are moved. Build first.'
    )
    .addOption(countOption('--seconds <S>', 'how long', 300))
    .addOption(seedOption())
    .option('--controller', 'every fault hits the active controller', false)
    .addOption(listOption('--set <NAME=VALUE>', 'settings of the gateway'))
)
endOnSignals()

const say = sayWithTime()
say(`seed ${values.seed}, ${values.seconds} s${values.controller ? ', every fault hits the active controller' : ''}`)
try {
  requirePrograms('java', 'keytool', 'mvn', 'kcat')
  const cluster = await KafkaCluster.start()
  try {
    say(`Apache Kafka ${cluster.version}, 3 nodes: ${cluster.bootstrap}`)
    const result = await runChaos({
      cluster,
      seconds: values.seconds,
      seed: values.seed,
      controllerOnly: values.controller,
      gatewayFlags: values.set.flatMap(setting => ['--set', setting]),
      say
    })
    console.log(report(result))
    const found = problems(result)
    console.log(found.length === 0 ? 'OK' : `FAILED (seed ${values.seed}):\n${found.slice(0, 20).join('\n')}`)
    process.exitCode = found.length === 0 ? 0 : 1
  } finally {
    await cluster.stop()
  }
} catch (error) {
  console.error(error)
  process.exitCode = 1
}
process.exit()
