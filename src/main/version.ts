import { readFileSync } from 'node:fs'

/** The version of this package. Works from `src/main` and from `dist/main` alike. */
export const version = (): string =>
  (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version
