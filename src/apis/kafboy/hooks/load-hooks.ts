import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { HookName } from './hook-calls.js'
import type { KafboyHooks } from './hooks.js'

/** All hooks that a module may define. */
export const HOOK_NAMES: readonly HookName[] = ['editJson', 'onError', 'pickPartition', 'massageBuffer', 'onEvent']

/**
 * Loads a module of hooks and checks what it exports.
 *
 * @throws Error with a sentence for the operator
 */
export async function loadHooks(url: string): Promise<KafboyHooks> {
  const { default: hooks } = (await importModule(url)) as { default?: unknown }
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

/** What is used of tsx. */
interface TypeScriptLoader {
  tsImport(url: string, importer: string): Promise<unknown>
}

/** Node reads TypeScript from 22.18 on; before, tsx does when the module's project has it. */
async function importModule(url: string): Promise<unknown> {
  try {
    return await import(url)
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error
    const { tsImport } = (await import(typeScriptLoaderOf(url))) as TypeScriptLoader
    return tsImport(url, import.meta.url)
  }
}

/**
 * The module of tsx in the project of another module.
 *
 * @throws Error with a sentence for the operator when there is none
 */
export function typeScriptLoaderOf(url: string): string {
  try {
    // The file for ES modules lies beside the one that is found by require.
    const path = createRequire(url)
      .resolve('tsx/esm/api')
      .replace(/\.cjs$/, '.mjs')
    return pathToFileURL(path).href
  } catch {
    throw new Error(
      'a module in TypeScript needs Node 22.18 or later, or the package tsx in its project (npm install tsx)'
    )
  }
}
