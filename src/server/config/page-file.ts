import { readFile } from 'node:fs/promises'
import { packageFile } from '../../core/package-file.js'

/** The page of the management port; `undefined`: it was not built. */
export const readPage = (): Promise<string | undefined> =>
  readFile(packageFile('dist/page.html'), 'utf8').catch(() => undefined)
