import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError } from '../../../core/errors.js'
import type { KafboyHooks } from './hooks.js'

/** All hooks that a module may define. */
const NAMES: ReadonlySet<string> = new Set<keyof KafboyHooks>([
  'editJson',
  'onError',
  'pickPartition',
  'massageBuffer',
  'onEvent'
])
/** Without a limit, a module that waits for something at its top would keep the process from starting, without a line. */
const LOAD_TIMEOUT_MS = 30_000

/**
 * Loads the module that `apis.kafboy.callbackEditJson` names into the process.
 *
 * @throws ConfigError when it cannot be used
 */
export async function loadHooks(path: string, timeoutMs = LOAD_TIMEOUT_MS): Promise<KafboyHooks> {
  const module = pathToFileURL(resolve(path)).href
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_, reject) => {
    const reason = `it was not loaded within ${timeoutMs / 1_000} s; is there an await at its top that never ends?`
    timer = setTimeout(() => reject(new Error(reason)), timeoutMs)
  })
  try {
    const { default: hooks } = (await Promise.race([import(module), tooLate])) as { default?: unknown }
    return checked(hooks)
  } catch (error) {
    throw new ConfigError(`apis.kafboy.callbackEditJson: the module cannot be used: ${reasonOf(error, module)}`)
  } finally {
    clearTimeout(timer)
  }
}

function checked(hooks: unknown): KafboyHooks {
  if (typeof hooks !== 'object' || hooks === null) {
    throw new Error('it has no default export; write export default defineKafboyHooks({ … })')
  }
  for (const [name, hook] of Object.entries(hooks)) {
    if (!NAMES.has(name)) throw new Error(`it exports ${JSON.stringify(name)}; there are ${[...NAMES].join(', ')}`)
    if (typeof hook !== 'function') throw new Error(`its ${name} is no function`)
  }
  return hooks
}

/** One line. Node prints the place of a syntax error on the terminal only. */
function reasonOf(error: unknown, module: string): string {
  const { code, message = error } = (error ?? {}) as { code?: string; message?: unknown }
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION') {
    return 'a module in TypeScript needs Node 22.18 or later, or NODE_OPTIONS="--import tsx"'
  }
  const [line] = String(message).split('\n')
  return error instanceof SyntaxError ? `${line}; run node ${fileURLToPath(module)} to see where` : line!
}
