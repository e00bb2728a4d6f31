import { readFileSync } from 'node:fs'

/** The version of this package. The path of package.json is right for `src/cli` and for `dist/cli`. */
export const version = (): string =>
  (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version
