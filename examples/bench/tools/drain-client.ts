import { openDurableLog } from '../../../src/producer/log/open-durable-log.js'
import { walSettings } from '../../../src/producer/log/settings.js'
import { answerParent } from './child.js'
import { loadCastellan } from './in-process.js'

/** Number of records in one call: together 1 MB, the size of a full Produce request. */
const RECORDS_PER_CALL = 250
const CALLS_IN_FLIGHT = 10

export interface DrainRun {
  readonly bootstrap: string
  readonly topic: string
  readonly partitions: number
  readonly records: number
  readonly recordBytes: number
  /** The directory of the durable log. */
  readonly directory: string
}

/** Writes a backlog into the durable log, like a gateway without Kafka. */
async function fill({ directory, topic, partitions, records, recordBytes }: DrainRun): Promise<void> {
  const ignore = (): void => undefined
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore }
  const settings = walSettings.parse({ directory })
  const opened = await openDurableLog(settings, { log, now: Date.now, onBroken: fail })
  const value = Buffer.alloc(recordBytes, 'x')
  for (let written = 0; written < records; written += RECORDS_PER_CALL) {
    const entries = Array.from({ length: Math.min(RECORDS_PER_CALL, records - written) }, (_, at) => ({
      destination: `default/${topic}`,
      record: { partition: at % partitions, key: null, value, headers: [], timestampMs: Date.now() }
    }))
    await new Promise<void>((resolve, reject) => {
      const refusal = opened.log.append(entries, result => {
        if (result.refusal) reject(new Error(result.refusal.message))
        else resolve()
      })
      if (refusal) reject(new Error(refusal.message))
    })
  }
  await opened.close()
}

function fail(error: Error): never {
  throw error
}

let close: (() => Promise<unknown>) | undefined

/** Opens the durable log that {@link fill} has written, which starts its delivery. */
async function drain({ bootstrap, directory }: DrainRun): Promise<void> {
  const { openCastellan } = await loadCastellan()
  const castellan = await openCastellan({ brokers: bootstrap, wal: { directory } })
  close = () => castellan.close()
}

/** Produces the same number of records from memory. Returns when all are acknowledged. */
async function produce({ bootstrap, topic, partitions, records, recordBytes }: DrainRun): Promise<void> {
  const { openCastellan, askRouter } = await loadCastellan()
  const castellan = await openCastellan({ brokers: bootstrap })
  const value = Buffer.alloc(recordBytes, 'x')
  const call = Array.from({ length: RECORDS_PER_CALL }, (_, at) => ({
    topic,
    partition: at % partitions,
    key: null,
    value
  }))
  let left = Math.ceil(records / RECORDS_PER_CALL)
  const send = async (): Promise<void> => {
    while (left-- > 0) {
      const { outcomes } = await askRouter(castellan.router.ref, { type: 'produce', records: call })
      const failed = outcomes.find(({ type }) => type !== 'delivered')
      if (failed) throw new Error(`not delivered: ${JSON.stringify(failed)}`)
    }
  }
  await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, send))
  await castellan.close()
}

answerParent({ start: () => ({}), fill, drain, produce, close: async () => await close?.() })
