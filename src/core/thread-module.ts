/**
 * The module that a thread is started with. Where the sources themselves are run (tests, examples) it is the built one,
 * because Node 20 does not hand the loader for TypeScript on to threads.
 *
 * @param specifier relative to the module `from`, as in an import
 */
export const threadModule = (specifier: string, from: string): URL =>
  new URL(specifier, from.replace(/\/src\/(.*)\.ts$/, '/dist/$1.js'))
