import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import { toBuffer } from './bytes.js'
import { DeadLetters } from './dead-letters.js'
import type { LogCall, LogReply, LogThreadOptions } from './log-calls.js'
import { InlineLogHost, type LogHost } from './log-host.js'
import { LogStore, type LogStoreOptions } from './log-store.js'
import { NodeDirectory } from './node-files.js'

/** The thread of the durable log: opens the store, and serves one call after the other. */
const port = parentPort!
const send = (reply: LogReply): void => port.postMessage(reply)

const { path, maxDeadLetterBytes, ...settings } = workerData as LogThreadOptions
try {
  const options: LogStoreOptions = {
    ...settings,
    directory: new NodeDirectory(path),
    now: Date.now,
    newSalt: () => randomBytes(4).readUInt32BE(0),
    report: (fields, message) => send({ type: 'report', fields: printable(fields), message })
  }
  const store = new LogStore(options)
  const host = new InlineLogHost(store, new DeadLetters({ ...options, maxBytes: maxDeadLetterBytes }))
  port.on('message', async (call: LogCall) => {
    send({ type: 'result', id: call.id, value: await serve(host, call) })
    if (call.type === 'close') port.close()
  })
  send({ type: 'opened', report: store.recovered, notes: [...store.notes], stats: store.stats })
} catch (error) {
  send({ type: 'unusable', message: (error as Error).message })
}

function serve(host: LogHost, call: LogCall): Promise<unknown> {
  switch (call.type) {
    case 'commit':
      return host.commit(toBuffer(call.bytes))
    case 'complete':
      return host.complete(call.ranges)
    case 'note':
      return host.note(call.notes.map(({ key, value }) => ({ key, value: toBuffer(value) })))
    case 'read':
      return host.read(call.request)
    case 'bury':
      return host.bury({ ...call.entry, body: toBuffer(call.entry.body) }, call.reason)
    case 'listDeadLetters':
      return host.listDeadLetters(call.fromSequence, call.maxBytes)
    case 'forgetDeadLetters':
      return host.forgetDeadLetters(call.ranges)
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
