import { silentLogger } from '../../../../src/core/model.js'
import { openDurableLog } from '../../../../src/producer/log/open-durable-log.js'
import { walSettings } from '../../../../src/producer/log/settings.js'
import { logWorker } from '../../../support/built.js'

/** What the process is told, as JSON in its first argument. */
export interface AppendingOptions {
  readonly directory: string
  readonly putters: number
  /** It ends after so many records; absent: when it is killed. */
  readonly records?: number
  readonly valueBytes: number
  readonly segmentBytes?: number
  readonly minFreeBytes?: number
  /** Milliseconds that a putter waits after a refusal. */
  readonly pauseMs?: number
  /** Everything stored is completed as soon as the disk is full. */
  readonly completeWhenFull?: boolean
}

const options = JSON.parse(process.argv[2]!) as AppendingOptions
const {
  directory,
  putters,
  records = Number.POSITIVE_INFINITY,
  valueBytes,
  pauseMs = 10,
  completeWhenFull = false
} = options
const { segmentBytes = 64 * 1024, minFreeBytes = 0 } = options
const { log, close } = await openDurableLog(walSettings.parse({ directory, segmentBytes, minFreeBytes }), {
  log: silentLogger,
  now: Date.now,
  onBroken: error => {
    throw error
  },
  worker: logWorker
})

/** Appends records, each with an id of its own, and writes a line for each answer: `stored ID`, `refused ID kind isCertain`. */
let sent = 0
let stored: number[] = []
let running = putters

function next(): void {
  if (sent >= records) {
    if (--running === 0) void close()
    return
  }
  const id = `id-${String(sent++).padStart(6, '0')}`
  const record = { key: Buffer.from(id), value: Buffer.alloc(valueBytes, 'x'), headers: [], timestampMs: 0 }
  const refuse = (kind: string, isCertain: boolean): void => {
    process.stdout.write(`refused ${id} ${kind} ${isCertain}\n`)
    if (completeWhenFull) for (const sequence of stored) log.complete(sequence)
    stored = []
    setTimeout(next, pauseMs)
  }
  const refusal = log.append([{ destination: 'default/orders', record }], ({ refusal, firstSequence }) => {
    if (refusal) {
      refuse(refusal.kind, refusal.isCertain)
      return
    }
    process.stdout.write(`stored ${id}\n`)
    stored.push(firstSequence)
    next()
  })
  if (refusal) refuse(refusal.kind, refusal.isCertain)
}

for (let putter = 0; putter < putters; putter++) next()
