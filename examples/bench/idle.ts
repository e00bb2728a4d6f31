import { startBroker } from './broker.js'
import type { BenchOptions } from './options.js'
import { readProcessStats } from './process-stats.js'
import type { Row } from './report.js'
import { startGateway } from './servers.js'

const NODES = 3
const PARTITIONS = 6
const SETTLE_MS = 3_000

/** What a gateway costs that nobody uses: connected to three brokers, all of which it has written to. */
export async function idle({ seconds }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ nodes: NODES, topics: [{ topic: 'idle', partitions: PARTITIONS }] })
  const gateway = await startGateway(broker.bootstrap)
  try {
    for (let partition = 0; partition < PARTITIONS; partition++) await pushOne(gateway.port, partition)
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

/** One record into each partition, so that every broker has a produce connection. */
async function pushOne(port: number, partition: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/kprf/push`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ records: [{ topic: 'idle', data: 'x', partition }], wait_for_send: true })
  })
  if (!response.ok) throw new Error(`idle: ${response.status} ${await response.text()}`)
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
