import kafkajs from 'kafkajs'
import { answerParent } from './child.js'
import { AllocationSites } from './garbage.js'
import { Garbage } from './garbage-counter.mjs'
import { startInProcess } from './in-process.js'
import { LongestTick } from './longest-tick.js'
import { measureWindow, type Window, type WindowLengths } from './window.js'

const TRANSACTIONAL_ID = 'bench'

export interface ProduceRun extends WindowLengths {
  readonly client: 'castellan' | 'kafkajs'
  /** Each call is a transaction; those of a sender follow each other. */
  readonly inTransactions?: boolean
  /** Castellan is called as a program does, and not as an actor. The longest tick is then not measured: its watch costs by the clock. */
  readonly asProgram?: boolean
  readonly bootstrap: string
  /** The topics are `topic-0`, `topic-1`, … */
  readonly topic: string
  readonly topics: number
  /** Of each topic. */
  readonly partitions: number
  readonly recordBytes: number
  readonly recordsPerCall: number
  readonly callsInFlight: number
}
export interface ProduceReport extends Window {
  /** The number of acknowledged records, including the warm-up and the last calls. The log must have all of them. */
  readonly acknowledgedInAll: number
  readonly rssBytes: number
  /** The longest tick of the measured window, in CPU time; 0: it was not measured. */
  readonly longestTickMs: number
  /** Bytes that were allocated in V8's heap in the measured window. */
  readonly allocatedBytes: number
}

/** Writes the records of one call, and returns the number of acknowledged records. */
interface Producer {
  send(): Promise<number>
  close(): Promise<void>
}

/** Keeps `callsInFlight` calls in flight. Both clients run in this loop. */
async function run(options: ProduceRun): Promise<ProduceReport> {
  const first = { ...options, topic: `${options.topic}-0` }
  const producer = await openProducer(options.client === 'kafkajs' ? first : options)
  let acknowledged: number
  let sending = true
  const keepSending = async () => {
    while (sending) {
      const records = await producer.send()
      acknowledged += records
    }
  }
  // The first call is sent alone, because kafkajs opens one socket per call when its first calls are made at the same
  // time. Each topic has been looked up afterwards.
  acknowledged = await producer.send()
  const callsOfATopic = (options.topics * options.partitions) / options.recordsPerCall
  for (let call = 1; call < callsOfATopic; call++) acknowledged += await producer.send()
  const senders = Array.from({ length: options.callsInFlight }, keepSending)
  let ticks: LongestTick | undefined
  let garbage: Garbage | undefined
  let sites: AllocationSites | undefined
  const began = () => {
    if (!options.asProgram) ticks = new LongestTick()
    garbage = new Garbage()
    sites = new AllocationSites()
  }
  setTimeout(began, options.warmUpMs)
  const window = await measureWindow(options, () => acknowledged)
  const allocatedBytes = garbage!.stop()
  sites!.print(window.counted)
  const longestTickMs = ticks?.stop() ?? 0
  sending = false
  await Promise.all(senders)
  await producer.close()
  return {
    ...window,
    acknowledgedInAll: acknowledged,
    rssBytes: process.memoryUsage.rss(),
    longestTickMs,
    allocatedBytes
  }
}

function openProducer(options: ProduceRun): Promise<Producer> {
  if (options.client === 'kafkajs') return openKafkajs(options)
  if (options.inTransactions) return openTransactions(options)
  return options.asProgram ? openProgram(options) : openCastellan(options)
}

async function openKafkajs({
  bootstrap,
  topic,
  partitions,
  recordBytes,
  recordsPerCall,
  inTransactions = false
}: ProduceRun): Promise<Producer> {
  const kafka = new kafkajs.Kafka({ brokers: bootstrap.split(','), logLevel: kafkajs.logLevel.NOTHING })
  const producer = kafka.producer(inTransactions ? { transactionalId: TRANSACTIONAL_ID, maxInFlightRequests: 1 } : {})
  await producer.connect()
  const value = Buffer.alloc(recordBytes, 'x')
  const messages = Array.from({ length: recordsPerCall }, (_, at) => ({ value, partition: at % partitions }))
  return {
    send: async () => {
      const transaction = inTransactions ? await producer.transaction() : undefined
      const written = await (transaction ?? producer).sendBatch({ acks: -1, topicMessages: [{ topic, messages }] })
      await transaction?.commit()
      return written.every(({ errorCode }) => errorCode === 0) ? recordsPerCall : 0
    },
    close: () => producer.disconnect()
  }
}

/** Produces through the Router, like an actor. Every call has the same record objects. */
async function openCastellan(options: ProduceRun): Promise<Producer> {
  const { router, close, askRouter } = await startInProcess({ brokers: options.bootstrap })
  const calls = callsOf(options)
  let sent = 0
  return {
    send: async () => {
      const records = calls[sent++ % calls.length]!
      if (options.topics > 1) shuffle(records)
      const { outcomes } = await askRouter(router.ref, { type: 'produce', records })
      let delivered = 0
      for (const { type } of outcomes) if (type === 'delivered') delivered++
      return delivered
    },
    close: async () => {
      await close()
    }
  }
}

async function openProgram(options: ProduceRun): Promise<Producer> {
  const castellan = await startInProcess({ brokers: options.bootstrap })
  const [records] = callsOf(options)
  return {
    send: async () => (await castellan.produceOrThrow(records!)).length,
    close: async () => {
      await castellan.close()
    }
  }
}

async function openTransactions(options: ProduceRun): Promise<Producer> {
  const castellan = await startInProcess({ brokers: options.bootstrap })
  const [records] = callsOf(options)
  return {
    send: () =>
      castellan.transaction(TRANSACTIONAL_ID, async tx => {
        const delivered = await tx.produce(records!)
        return delivered.length
      }),
    close: async () => {
      await castellan.close()
    }
  }
}

/**
 * Draws the order of items anew. Topics are known in the order of their names, and what belongs to neighbours lies side by side: a
 * client that names them in that order would read memory in order, as no client does.
 */
function shuffle<T>(items: T[]): T[] {
  for (let left = items.length; left > 1; ) {
    const at = Math.floor(Math.random() * left--)
    ;[items[at], items[left]] = [items[left]!, items[at]!]
  }
  return items
}

/** The records of calls that reach each partition of each topic in turn. */
function callsOf({ topic, topics, partitions, recordBytes, recordsPerCall }: ProduceRun) {
  const value = Buffer.alloc(recordBytes, 'x')
  const names = shuffle(Array.from({ length: topics }, (_, at) => `${topic}-${at}`))
  const calls = Math.max(1, (topics * partitions) / recordsPerCall)
  return Array.from({ length: calls }, (_, call) =>
    Array.from({ length: recordsPerCall }, (_, index) => {
      const at = call * recordsPerCall + index
      return { topic: names[Math.floor(at / partitions) % topics]!, partition: at % partitions, key: null, value }
    })
  )
}

/** Writes exactly this many records, for other clients to read. */
async function fill({ records, ...options }: ProduceRun & { readonly records: number }): Promise<number> {
  const producer = await openKafkajs(options)
  for (let written = 0; written < records; written += options.recordsPerCall) await producer.send()
  await producer.close()
  return records
}

let kept: ReturnType<typeof startInProcess> | undefined

/** Topics that are written to for the first time, by a client that stays open. */
export interface FirstRecords {
  readonly bootstrap: string
  readonly topics: readonly string[]
}

/** Writes one record to each topic. */
async function writeFirst({ bootstrap, topics }: FirstRecords): Promise<void> {
  kept ??= startInProcess({ brokers: bootstrap })
  const castellan = await kept
  await castellan.produceOrThrow(topics.map(topic => ({ topic, key: null, value: 'x' })))
}

answerParent({ start: () => ({}), run, fill, writeFirst })
