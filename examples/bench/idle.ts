import { startBroker } from './tools/broker.js'
import type { BenchOptions } from './tools/options.js'
import { readProcessStats } from './tools/process-stats.js'
import type { Row } from './tools/report.js'
import { pushOne, startGateway } from './tools/servers.js'

const NODES = 3
const PARTITIONS = 6
// About 8 s after the last work V8 tidies its heap once, which takes 0.1 s of CPU and is not what idling costs.
const SETTLE_MS = 15_000

/** The cost of an unused gateway that is connected to three brokers, to all of which it has written. */
export async function idle({ seconds }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ nodes: NODES, topics: [{ topic: 'idle', partitions: PARTITIONS }] })
  const gateway = await startGateway(broker.bootstrap)
  try {
    // One record into each partition, so that every broker has its connections.
    for (let partition = 0; partition < PARTITIONS; partition++) await pushOne(gateway.port, 'idle', partition)
    await sleep(SETTLE_MS)
    const before = readProcessStats(gateway.pid)
    await sleep(seconds * 1000)
    const after = readProcessStats(gateway.pid)
    return [
      {
        work: 'idle',
        value: ((after.cpuMicros - before.cpuMicros) / (seconds * 1e6)) * 100,
        unit: '% of a core',
        rssMb: after.rssBytes / 1e6,
        note: `${NODES} brokers connected, ${seconds} s`
      }
    ]
  } finally {
    await gateway.stop()
    await broker.stop()
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
