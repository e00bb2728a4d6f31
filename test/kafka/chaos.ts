import { parseArgs } from 'node:util'
import { problems, report, runChaos } from './chaos/run-chaos.js'
import { KafkaCluster } from './cluster.js'
import { requirePrograms } from './requirements.js'

/**
 * `npm run build && node --import tsx test/kafka/chaos.ts [--seconds 300] [--seed N] [--controller] [--set NAME=VALUE]`:
 * the gateway, with other settings if need be, against a real cluster whose nodes are killed, paused, stopped and whose leaders are moved.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '300' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    controller: { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] }
  }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const startedAt = performance.now()
const say = (line: string): void =>
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`)
say(`seed ${values.seed}, ${values.seconds} s${values.controller ? ', every fault hits the active controller' : ''}`)
try {
  requirePrograms('java', 'keytool', 'mvn', 'kcat')
  const cluster = await KafkaCluster.start()
  try {
    say(`Apache Kafka ${cluster.version}, 3 nodes: ${cluster.bootstrap}`)
    const result = await runChaos({
      cluster,
      seconds: Number(values.seconds),
      seed: Number(values.seed),
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
