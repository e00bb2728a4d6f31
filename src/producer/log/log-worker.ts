import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { performanceClock } from '../../core/clocks.js'
import { messageOf } from '../../core/node-errors.js'
import type { ReadEntries } from './entry-reader.js'
import { type LogCallName, LogCore } from './log-host.js'
import type { CommitResult, LogStoreOptions } from './log-store.js'
import { NodeDirectory } from './node-files.js'
import type { LogCall, LogReply, LogThreadOptions } from './thread-log-host.js'

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
    clock: performanceClock,
    newSalt: () => (salt = (salt + SALT_STEP) >>> 0),
    report: (fields, message) => send({ type: 'report', fields: printable(fields), message })
  }
  const core = new LogCore(options, maxDeadLetterBytes)
  port.on('message', (call: LogCall) => answer(core, call))
  const { recovered: report, notes, logId } = core
  core.look()
  send({ type: 'answer', value: { report, notes: [...notes], logId } })
} catch (error) {
  send({ type: 'failure', message: messageOf(error) })
}

function answer(core: LogCore, { name, args }: LogCall): void {
  const startedAt = performance.now()
  try {
    const value: unknown = Reflect.apply(core[name], core, args)
    if (name === 'commit') warnOfSlowDisk(performance.now() - startedAt)
    send({ type: 'answer', value }, movedWith(name, value))
  } catch (error) {
    send({ type: 'failure', message: messageOf(error) })
  }
  if (name === 'close') port.close()
}

/** Memory that is moved to the other thread, not copied: that of a committed group, or what was read for this answer. */
function movedWith(name: LogCallName, value: unknown): ArrayBuffer[] {
  const all =
    name === 'commit'
      ? (value as CommitResult).memory
      : name === 'read'
        ? (value as ReadEntries).entries.map(({ body }) => body)
        : []
  return [...new Set(all.map(({ buffer }) => buffer as ArrayBuffer))]
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
