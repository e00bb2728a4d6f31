import { pathToFileURL } from 'node:url'
import type { Castellan, OpenCastellanOptions } from 'castellan'

/**
 * The URL of the compiled files. They are measured, because a TypeScript loader adds calls around every named function.
 * To compare two builds, BENCH_DIST names another build.
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
