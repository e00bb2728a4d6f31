/**
 * Returns the URL of the module that a thread is started with. When the process runs the TypeScript sources (tests,
 * examples), the thread runs the built module, because Node 20 does not pass the TypeScript loader on to threads.
 *
 * @param specifier relative to the module `from`, as in an import
 */
export const threadModule = (specifier: string, from: string): URL =>
  new URL(specifier, from.replace(/\/src\/(.*)\.ts$/, '/dist/$1.js'))
