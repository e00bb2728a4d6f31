// Not imported by name: bundles often begin with an import of `createRequire` of their own.
import nodeModule from 'node:module'
import { pathToFileURL } from 'node:url'
import { codeOf } from './node-errors.js'

/** The address of this file. A bundle of CommonJS has none: the file that was started is used instead. */
const HERE = (import.meta.url as string | undefined) ?? pathToFileURL(process.argv[1] ?? '.').href

/**
 * Loads a package that bundlers leave out: from beside this file, or beside the file that was started, since webpack writes the
 * place of the sources into a bundle.
 */
export function loadPackage<Module>(name: string): Module {
  try {
    return nodeModule.createRequire(HERE)(name)
  } catch (error) {
    if (codeOf(error) !== 'MODULE_NOT_FOUND' || process.argv[1] === undefined) throw error
    return nodeModule.createRequire(process.argv[1])(name)
  }
}

/** Sources are in folders of `src`; what is built is in `dist` itself. */
const ROOT = HERE.replace(/(?:src\/core|dist)\/[^/]+$/, '')

/**
 * A file of this package. Threads and processes are started from `dist`, also when the TypeScript sources run (tests,
 * examples), because Node 20 does not pass the TypeScript loader on to threads.
 *
 * @param path relative to package.json
 */
export const packageFile = (path: string): URL => new URL(path, ROOT)

/** The options of Node for a thread: absent, so those of this process, unless one says how the text of `--eval` is read. */
export const threadArguments = (): { execArgv?: string[] } =>
  process.execArgv.some(argument => argument.startsWith('--input-type')) ? { execArgv: [] } : {}
