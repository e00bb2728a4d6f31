import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import type { LogCall, LogReply, LogThreadOptions } from './log-calls.js'
import { LogStore } from './log-store.js'
import { NodeDirectory } from './node-files.js'

/** The thread of the durable log: opens the store, and serves one call after the other. */
const port = parentPort!
const send = (reply: LogReply): void => port.postMessage(reply)

const { path, ...options } = workerData as LogThreadOptions
try {
  const store = new LogStore({
    ...options,
    directory: new NodeDirectory(path),
    now: Date.now,
    newSalt: () => randomBytes(4).readUInt32BE(0),
    report: (fields, message) => send({ type: 'report', fields: printable(fields), message })
  })
  port.on('message', (call: LogCall) => {
    send({ type: 'result', id: call.id, value: serve(store, call) })
    if (call.type === 'close') port.close()
  })
  send({ type: 'opened', report: store.recovered, notes: [...store.notes], stats: store.stats })
} catch (error) {
  send({ type: 'unusable', message: (error as Error).message })
}

function serve(store: LogStore, call: LogCall): unknown {
  switch (call.type) {
    case 'commit':
      return store.commit(Buffer.from(call.bytes.buffer, call.bytes.byteOffset, call.bytes.byteLength))
    case 'complete':
      return store.complete(call.ranges)
    case 'note':
      return call.notes.map(({ key, value }) => store.note(key, Buffer.from(value))).every(Boolean)
    case 'read':
      return store.read(call.request)
    case 'sync':
      return store.sync()
    case 'tick':
      store.tick()
      return store.stats
    case 'close':
      store.close()
      return undefined
  }
}

/** Errors cross threads as plain fields. */
function printable(fields: object): object {
  const { err, ...rest } = fields as { err?: Error & { code?: string } }
  return err ? { ...rest, reason: err.message, code: err.code } : rest
}
