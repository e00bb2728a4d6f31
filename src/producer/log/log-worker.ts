import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { toBuffer } from './bytes.js'
import { DeadLetters } from './dead-letters.js'
import type { AnsweredCall, CommitReply, LogCall, LogReply, LogThreadOptions } from './log-calls.js'
import { InlineLogHost, type LogHost } from './log-host.js'
import { LogStore, type LogStoreOptions } from './log-store.js'
import { NodeDirectory } from './node-files.js'
import type { ReadResult } from './read-request.js'

/** The thread of the durable log: opens the store, and serves one call after the other. */
const port = parentPort!
const send = (reply: LogReply, moved: readonly ArrayBuffer[] = []): void => port.postMessage(reply, moved)

const SLOW_MS = 1_000
const SLOW_WARNING_EVERY_MS = 10_000
let warnedAt = Number.NEGATIVE_INFINITY
/** Odd, so that no salt comes twice before all have been used. */
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
  const store = new LogStore(options)
  const host = new InlineLogHost(store, new DeadLetters({ ...options, maxBytes: maxDeadLetterBytes }))
  port.on('message', (call: LogCall) => {
    if (call.type === 'stage') host.stage(toBuffer(call.bytes))
    else void answer(host, call)
  })
  send({ type: 'opened', report: store.recovered, notes: [...store.notes], stats: await host.tick() })
} catch (error) {
  send({ type: 'unusable', message: (error as Error).message })
}

async function answer(host: LogHost, call: AnsweredCall): Promise<void> {
  try {
    const value = await serve(host, call)
    send({ type: 'result', id: call.id, value }, moved(call, value))
  } catch (error) {
    send({ type: 'callFailed', id: call.id, message: (error as Error).message })
  }
  if (call.type === 'close') port.close()
}

/** Memory that is handed over instead of copied. */
function moved({ type }: AnsweredCall, value: unknown): readonly ArrayBuffer[] {
  if (type === 'commit') return (value as CommitReply).memory
  // Was read into for this one answer.
  if (type === 'read') return [...new Set((value as ReadResult).entries.map(({ body }) => body.buffer as ArrayBuffer))]
  return []
}

async function commit(host: LogHost, bytes: Uint8Array): Promise<CommitReply> {
  const startedAt = performance.now()
  const { memory, ...result } = await host.commit(toBuffer(bytes))
  warnOfSlowDisk(performance.now() - startedAt)
  return { ...result, memory: memory.map(({ buffer }) => buffer as ArrayBuffer) }
}

function warnOfSlowDisk(tookMs: number): void {
  if (tookMs < SLOW_MS || performance.now() - warnedAt < SLOW_WARNING_EVERY_MS) return
  warnedAt = performance.now()
  const message = `the disk took ${Math.round(tookMs)} ms for one write and sync of the durable log; records wait that long`
  send({ type: 'report', fields: { tookMs: Math.round(tookMs) }, message })
}

function serve(host: LogHost, call: AnsweredCall): Promise<unknown> {
  switch (call.type) {
    case 'commit':
      return commit(host, call.bytes)
    case 'complete':
      return host.complete(call.ranges)
    case 'note':
      return host.note(call.notes.map(({ key, value }) => ({ key, value: toBuffer(value) })))
    case 'read':
      return host.read(call.request)
    case 'deadLetter':
      return host.deadLetter({ ...call.entry, body: toBuffer(call.entry.body) }, call.reason)
    case 'listDeadLetters':
      return host.listDeadLetters(call.fromSequence, call.maxBytes)
    case 'forgetDeadLetters':
      return host.forgetDeadLetters(call.ranges)
    case 'backlog':
      return host.backlog()
    case 'search':
      return host.search(call.request)
    case 'sync':
      return host.sync()
    case 'tick':
      return host.tick()
    case 'close':
      return host.close()
  }
}

/** Errors cross threads as plain fields. */
function printable(fields: object): object {
  const { err, ...rest } = fields as { err?: Error & { code?: string } }
  return err ? { ...rest, reason: err.message, code: err.code } : rest
}
