/**
 * The package as it is published. What is measured is the compiler's output in dist/, since a TypeScript loader adds
 * calls of its own around every named function.
 */
export const loadCastellan = (): Promise<typeof import('castellan')> =>
  import(new URL('../../dist/index.js', import.meta.url).href)
