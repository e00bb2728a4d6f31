/** Sources are in folders of `src`; what is built is in `dist` itself. */
const ROOT = import.meta.url.replace(/(?:src\/core|dist)\/[^/]+$/, '')

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
