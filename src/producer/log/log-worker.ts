import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { toBuffer } from './bytes.js'
import type { ReadResult } from './entry-reader.js'
import { LogCore } from './log-host.js'
import type { LogStoreOptions } from './log-store.js'
import { NodeDirectory } from './node-files.js'
import type { AnsweredCall, CommitReply, LogCall, LogReply, LogThreadOptions } from './thread-log-host.js'

/** The thread of the durable log: opens the store, and serves one call after the other. */
const port = parentPort!
const send = (reply: LogReply, moved: readonly ArrayBuffer[] = []): void => port.postMessage(reply, moved)

const SLOW_MS = 1_000
const SLOW_WARNING_EVERY_MS = 10_000
let warnedAt = Number.NEGATIVE_INFINITY
/** Step between salts: odd, so that no salt repeats before all have been used. */
const SALT_STEP = 0x9e3779b1
let salt = randomBytes(4).readUInt32BE(0)

const { path, maxDeadLetterBytes, ...settings } = workerData as LogThreadOptions
try {
  const options: LogStoreOptions = {
    ...settings,
    directory: new NodeDirectory(path),
    now: Date.now,
    clock: () => performance.now(),
    newSalt: () => (salt = (salt + SALT_STEP) >>> 0),
    report: (fields, message) => send({ type: 'report', fields: printable(fields), message })
  }
  const core = new LogCore(options, maxDeadLetterBytes)
  port.on('message', (call: LogCall) => {
    if (call.type === 'stage') core.stage(toBuffer(call.bytes))
    else answer(core, call)
  })
  const { recovered: report, notes, logId } = core
  send({ type: 'opened', report, notes: [...notes], stats: core.look(), logId })
} catch (error) {
  send({ type: 'unusable', message: (error as Error).message })
}

function answer(core: LogCore, call: AnsweredCall): void {
  const { id } = call
  try {
    if (call.type === 'commit') {
      const value = commit(core, call.bytes)
      send({ type: 'result', id, value }, value.memory)
    } else {
      const value: unknown = Reflect.apply(core[call.name], core, call.args)
      send({ type: 'result', id, value }, call.name === 'read' ? memoryOf(value as ReadResult) : [])
    }
  } catch (error) {
    send({ type: 'callFailed', id, message: (error as Error).message })
  }
  if (call.type === 'call' && call.name === 'close') port.close()
}

/** The memory that was read into for this one answer: it is moved to the other thread, not copied. */
const memoryOf = ({ entries }: ReadResult): ArrayBuffer[] => [
  ...new Set(entries.map(({ body }) => body.buffer as ArrayBuffer))
]

function commit(core: LogCore, bytes: Uint8Array): CommitReply {
  const startedAt = performance.now()
  const { memory, ...result } = core.commit(toBuffer(bytes))
  warnOfSlowDisk(performance.now() - startedAt)
  return { ...result, memory: memory.map(({ buffer }) => buffer as ArrayBuffer) }
}

function warnOfSlowDisk(tookMs: number): void {
  if (tookMs < SLOW_MS || performance.now() - warnedAt < SLOW_WARNING_EVERY_MS) return
  warnedAt = performance.now()
  const message = `the disk took ${Math.round(tookMs)} ms for one write and sync of the durable log; records wait that long`
  send({ type: 'report', fields: { tookMs: Math.round(tookMs) }, message })
}

/** Errors are passed between threads as plain fields. */
function printable(fields: object): object {
  const { err, ...rest } = fields as { err?: Error & { code?: string } }
  return err ? { ...rest, reason: err.message, code: err.code } : rest
}
