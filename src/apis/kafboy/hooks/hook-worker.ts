import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import { HOOK_NAMES, type HookThreadData, type PostedCall, type ThreadMessage } from './hook-messages.js'
import { HookRunner } from './hook-runner.js'
import type { KafboyHooks } from './hooks.js'

/** The main module of the hooks' thread: loads the user's module, then makes the calls that the gateway posts. */
const port = parentPort!
const { module, maxDecisionBytes, begun } = workerData as HookThreadData

async function loadHooks(): Promise<KafboyHooks> {
  const { default: hooks } = (await importModule()) as { default?: unknown }
  if (typeof hooks !== 'object' || hooks === null) {
    throw new Error('it has no default export; write export default defineKafboyHooks({ … })')
  }
  for (const [name, hook] of Object.entries(hooks)) {
    if (!(HOOK_NAMES as readonly string[]).includes(name)) {
      throw new Error(`it exports ${JSON.stringify(name)}; there are ${HOOK_NAMES.join(', ')}`)
    }
    if (typeof hook !== 'function') throw new Error(`its ${name} is no function`)
  }
  return hooks
}

/** Node 22.18 and later load TypeScript; on earlier versions tsx does, if the module's project has it. */
async function importModule(): Promise<unknown> {
  try {
    return await import(module)
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error
  }
  const { tsImport } = (await import(pathToFileURL(pathToTsx()).href)) as {
    tsImport(url: string, importer: string): Promise<unknown>
  }
  return tsImport(module, import.meta.url)
}

function pathToTsx(): string {
  try {
    // The CommonJS file that require finds cannot load tsx; the file for ES modules is beside it.
    return createRequire(module)
      .resolve('tsx/esm/api')
      .replace(/\.cjs$/, '.mjs')
  } catch {
    throw new Error(
      'a module in TypeScript needs Node 22.18 or later, or the package tsx in its project (npm install tsx)'
    )
  }
}

/** Describes an error in one line. Node prints the place of a syntax error on the terminal only. */
function describe(error: unknown): string {
  const [line] = String((error as Error).message ?? error).split('\n')
  return error instanceof SyntaxError ? `${line}; run node ${fileURLToPath(module)} to see where` : line!
}

const send = (message: ThreadMessage, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer)

try {
  const hooks = await loadHooks()
  const begin = (id: number): void => void Atomics.store(begun, 0, id)
  const runner = new HookRunner(hooks, { maxDecisionBytes, send, begin })
  // An error in a timer or a forgotten promise must not end the calls of others.
  process.on('uncaughtException', error => runner.stray(error))
  process.on('unhandledRejection', error => runner.stray(error))
  port.on('message', (batch: readonly PostedCall[]) => runner.receive(batch))
  send({ type: 'ready', hooks: HOOK_NAMES.filter(name => hooks[name] !== undefined) })
} catch (error) {
  send({ type: 'unusable', message: describe(error) })
}
