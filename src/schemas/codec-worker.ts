import { readlinkSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import {
  AT_CALL,
  type CodecCall,
  CodecCore,
  type CodecResult,
  type CodecThreadData,
  load,
  THREAD_ID,
  type ThreadAnswer,
  type ThreadMessage
} from './codec-core.js'

/** The thread of the codecs: does one call after the other, and tells which one it is at. */
const port = parentPort!
const { progress } = workerData as CodecThreadData
/** Calls of a message that are not begun after this time are given back, so that owners of others get their turn. */
const TURN_MS = 20
/** A read that takes longer ends with what it has. */
const READ_MS = 250

const core = new CodecCore()
progress[THREAD_ID] = threadId()
port.on('message', async ({ calls, forgotten }: ThreadMessage) => {
  const results: CodecResult[] = []
  const tookMs: number[] = []
  let used = 0
  for (const [at, call] of calls.entries()) {
    if (used > TURN_MS) break
    // The time for loading a format is not that of a schema.
    Atomics.store(progress, AT_CALL, 0)
    if (call.type === 'open') await load(call.format)
    Atomics.store(progress, AT_CALL, at + 1)
    const startedAt = performance.now()
    results.push(call.type === 'open' ? await core.open(call) : resultOf(call))
    used += tookMs[at] = performance.now() - startedAt
  }
  Atomics.store(progress, AT_CALL, 0)
  for (const codec of forgotten) core.forget(codec)
  answer(results, tookMs)
})

/** The bytes of all results are moved in one piece. */
function answer(results: readonly CodecResult[], tookMs: readonly number[]): void {
  const sizeOf = (result: CodecResult): number => (result.type === 'results' ? result.bytes.length : 0)
  const whole = Buffer.allocUnsafeSlow(results.reduce((sum, result) => sum + sizeOf(result), 0))
  let end = 0
  const moved = results.map(result => {
    if (result.type !== 'results') return result
    whole.set(result.bytes, end)
    return { ...result, bytes: whole.subarray(end, (end += result.bytes.length)) }
  })
  port.postMessage({ results: moved, tookMs } satisfies ThreadAnswer, [whole.buffer])
}

function resultOf(call: Exclude<CodecCall, { type: 'open' }>): CodecResult {
  const isRead = call.type === 'decode'
  const until = performance.now() + READ_MS
  const run = core.run(call)
  for (const _ of run) if (isRead && performance.now() > until) break
  return run.result
}

/** As Linux names this thread; 0: this is no Linux. */
function threadId(): number {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1))
  } catch {
    return 0
  }
}
