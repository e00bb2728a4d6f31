import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RouterMessage, RouterRequest, RouterResult } from '../../src/router/messages/operations.js'
import { type Castellan, startCastellan } from '../support/castellan.js'
import { SeededRandom } from '../support/random.js'
import { type SoakWorld, spawnSoakActor } from './actors.js'
import { soakPartitions, soakTopics, type ToBroker } from './protocol.js'
import { messageOf, type Sample, slopePerMinute } from './samples.js'

export interface SoakOptions {
  readonly seconds: number
  readonly seed: number
  readonly actors: number
  readonly onSample?: (line: string) => void
}

export interface SoakReport {
  readonly sent: number
  readonly answered: number
  readonly doubled: number
  /** What actors still wait for, long after the faults have ended. */
  readonly waiting: readonly string[]
  readonly records: number
  readonly faultsFired: Readonly<Record<string, number>>
  readonly answers: Readonly<Record<string, number>>
  readonly cacheMaxBytes: number
  readonly cacheBound: number
  /** Least squares over the samples after the first quarter. */
  readonly rssSlopeMbPerMinute: number
  readonly heapSlopeMbPerMinute: number
}

const CACHE_BOUND_BYTES = 8 * 1024 * 1024
const SAMPLE_MS = 1_000
/** A damaged answer may name a throttle time, which the Router obeys for up to 10 s. */
const SETTLE_MS = 120_000

/** Actors ask a Router whose brokers fail at random; every request is counted going in and every answer coming out. */
export async function runSoak(options: SoakOptions): Promise<SoakReport> {
  const broker = fork(join(import.meta.dirname, 'broker-process.ts'), [String(options.seed)], {
    execArgv: ['--import', 'tsx']
  })
  const gone = once(broker, 'exit').then(() => {
    throw new Error('the brokers have died')
  })
  gone.catch(() => {})
  try {
    return await Promise.race([gone, soak(options, broker)])
  } finally {
    broker.removeAllListeners('exit')
    broker.kill('SIGKILL')
  }
}

async function soak(options: SoakOptions, broker: ChildProcess): Promise<SoakReport> {
  const up = await messageOf(broker, 'up')
  const castellan = await startCastellan(up.bootstrap, {
    router: { cacheMaxBytes: CACHE_BOUND_BYTES, callTimeoutMs: 2_000 }
  })
  const seeded = new SeededRandom(options.seed)
  const account = { sent: 0, answered: 0, doubled: 0 }
  const world: SoakWorld = {
    system: castellan.system,
    router: { ...castellan.router.ref, tell: message => castellan.router.ref.tell(counted(message, account)) },
    topics: soakTopics,
    partitions: soakPartitions,
    random: () => seeded.next(),
    asks: true,
    answers: new Map()
  }
  const waits = Array.from({ length: options.actors }, (_, number) => spawnSoakActor(world, number))
  const writing = write(castellan, world)
  const { samples, cacheMaxBytes } = await watch(castellan, account, options)
  world.asks = false
  const healed = messageOf(broker, 'healed')
  broker.send({ type: 'heal' } satisfies ToBroker)
  const { faultsFired } = await healed
  const records = await writing
  const waiting = await settled(account, waits)
  await castellan.close()
  return {
    ...account,
    waiting,
    records,
    faultsFired,
    answers: Object.fromEntries(world.answers),
    cacheMaxBytes,
    cacheBound: CACHE_BOUND_BYTES,
    rssSlopeMbPerMinute: slopePerMinute(samples, sample => sample.rssMb),
    heapSlopeMbPerMinute: slopePerMinute(samples, sample => sample.heapMb)
  }
}

function counted(message: RouterMessage, account: { sent: number; answered: number; doubled: number }): RouterMessage {
  const request = message as RouterRequest
  account.sent++
  let answers = 0
  const requester = {
    reply: (result: RouterResult) => {
      account.answered++
      if (++answers > 1) account.doubled++
      ;(request.requester as { reply(result: RouterResult): void }).reply(result)
    }
  }
  return { ...request, requester } as RouterMessage
}

/** Keeps records arriving until the actors stop asking. @returns how many were delivered */
async function write(castellan: Castellan, world: SoakWorld): Promise<number> {
  let delivered = 0
  const value = Buffer.alloc(200, 'x')
  const pending = new Set<Promise<void>>()
  while (world.asks) {
    const records = Array.from({ length: 40 }, () => ({
      topic: soakTopics[Math.floor(world.random() * soakTopics.length)]!,
      partition: Math.floor(world.random() * soakPartitions),
      key: null,
      value
    }))
    const done: Promise<void> = castellan.produce(records).then(outcomes => {
      delivered += outcomes.filter(outcome => outcome.type === 'delivered').length
      pending.delete(done)
    })
    pending.add(done)
    await sleep(20)
  }
  await Promise.all(pending)
  return delivered
}

async function watch(
  castellan: Castellan,
  account: { readonly sent: number; readonly answered: number },
  { seconds, onSample }: SoakOptions
): Promise<{ samples: Sample[]; cacheMaxBytes: number }> {
  const samples: Sample[] = []
  const startedAt = performance.now()
  let cacheMaxBytes = 0
  while (performance.now() - startedAt < seconds * 1000) {
    await sleep(SAMPLE_MS)
    globalThis.gc?.()
    const { rss, heapUsed } = process.memoryUsage()
    const sample = { atMs: performance.now() - startedAt, rssMb: rss / 2 ** 20, heapMb: heapUsed / 2 ** 20 }
    samples.push(sample)
    const { cacheBytes, open, deferred } = castellan.router.stats()
    cacheMaxBytes = Math.max(cacheMaxBytes, cacheBytes)
    if (samples.length % 10 === 0) {
      onSample?.(
        `${(sample.atMs / 1000).toFixed(0)} s: sent ${account.sent}, answered ${account.answered}, open ${open}, parked ${deferred}, ` +
          `cache ${(cacheBytes / 2 ** 20).toFixed(1)} MB, rss ${sample.rssMb.toFixed(0)} MB, heap ${sample.heapMb.toFixed(1)} MB`
      )
    }
  }
  return { samples, cacheMaxBytes }
}

/**
 * Waits until everything that was asked is answered, and no actor is about to ask again.
 *
 * @returns what is still waited for
 */
async function settled(
  account: { readonly sent: number; readonly answered: number },
  waits: readonly (() => string | undefined)[]
): Promise<string[]> {
  const deadline = performance.now() + SETTLE_MS
  const waiting = (): string[] => waits.flatMap(waitsFor => waitsFor() ?? [])
  const isAsking = (): boolean => account.answered < account.sent || waiting().length > 0
  while (isAsking() && performance.now() < deadline) await sleep(50)
  return waiting()
}
