import { fileURLToPath, pathToFileURL } from 'node:url'

/**
 * What is measured: the compiler's output, since a TypeScript loader adds calls of its own around every named function.
 * BENCH_DIST names another build, for comparing two of them.
 */
export const DIST = process.env.BENCH_DIST ?? fileURLToPath(new URL('../../dist', import.meta.url))

/** The package's front door. */
export const loadCastellan = (): Promise<typeof import('castellan')> => import(pathToFileURL(`${DIST}/index.js`).href)
