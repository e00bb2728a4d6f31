import { fileURLToPath } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import type { HookCalls, HookStart, HookThreadData } from './hook-calls.js'
import { HookRunner } from './hook-runner.js'
import type { KafboyHooks } from './hooks.js'
import { HOOK_NAMES, loadHooks } from './load-hooks.js'

/** The thread of the hooks: loads their module, and makes one call after the other. */
const port = parentPort!
const { module, maxDecisionBytes, begun } = workerData as HookThreadData

function serve(hooks: KafboyHooks): void {
  const runner = new HookRunner(hooks, maxDecisionBytes, {
    send: message => port.postMessage(message, [message.packed.bytes, message.packed.lengths.buffer as ArrayBuffer]),
    defer: callback => void setImmediate(callback),
    begin: id => void Atomics.store(begun, 0, id)
  })
  // A hook may throw in a timer, or leave a promise that nothing waits for. It must not end the calls of others.
  process.on('uncaughtException', error => runner.stray(error))
  process.on('unhandledRejection', error => runner.stray(error))
  port.on('message', (message: HookCalls) => runner.receive(message))
}

/** In one line. Node tells the place of what it cannot parse to the terminal only. */
function describe(error: unknown): string {
  const [line] = String((error as Error).message ?? error).split('\n')
  return error instanceof SyntaxError ? `${line}; run node ${fileURLToPath(module)} to see where` : line!
}

let start: HookStart
try {
  const hooks = await loadHooks(module)
  serve(hooks)
  start = { type: 'ready', hooks: HOOK_NAMES.filter(name => hooks[name] !== undefined) }
} catch (error) {
  start = { type: 'unusable', message: describe(error) }
}
port.postMessage(start)
