import { pathToFileURL } from 'node:url'
import type { Castellan, OpenCastellanOptions } from 'castellan'

/**
 * What is measured: the compiler's output, since a TypeScript loader adds calls of its own around every named function.
 * BENCH_DIST names another build, for comparing two of them.
 */
export const DIST = pathToFileURL(`${process.env.BENCH_DIST ?? new URL('../../../dist', import.meta.url).pathname}/`)

/** The package's entry. */
export const loadCastellan = (): Promise<typeof import('castellan')> => import(new URL('index.js', DIST).href)

export type AskRouter = typeof import('castellan').askRouter

/** A Router with delivery in this process. */
export async function startInProcess(options: OpenCastellanOptions): Promise<Castellan & { askRouter: AskRouter }> {
  const { openCastellan, askRouter } = await loadCastellan()
  return { ...(await openCastellan(options)), askRouter }
}
