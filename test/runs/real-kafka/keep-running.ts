import { KafkaCluster } from './cluster.js'
import { saslUser } from './server-properties.js'

/** Starts a real three-node cluster for hand use and stops it on Ctrl-C. */
const startedAt = performance.now()
const cluster = await KafkaCluster.start().catch((error: Error) => {
  console.error(error.message)
  process.exit(1)
})
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)

console.log(`Apache Kafka ${cluster.version}, 3 nodes, up in ${seconds} s
  plain     ${cluster.bootstrap}
  SASL_SSL  ${cluster.saslSslBootstrap}
            user ${saslUser.username}, password ${saslUser.password}, PLAIN or SCRAM; trust ${cluster.certificate.certificatePath}
  files     ${cluster.workspace.directory}
  try       npm start -- --brokers ${cluster.bootstrap}
Ctrl-C stops it and removes its files.`)

await new Promise<void>(resolve => {
  // The timer keeps the process alive: the nodes and the janitor do not.
  const alive = setInterval(() => {}, 60_000)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      clearInterval(alive)
      resolve()
    })
  }
})
await cluster.stop()
process.exit(0)
