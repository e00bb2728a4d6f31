import { readFile } from 'node:fs/promises'

/** Where the build puts the page: beside the built program, and for sources that are run directly, in `dist`. */
const PLACES = ['../../http/page/page.html', '../../../dist/http/page/page.html']

/** The page of the management port; `undefined`: it was not built. */
export async function readPage(): Promise<string | undefined> {
  for (const place of PLACES) {
    const text = await readFile(new URL(place, import.meta.url), 'utf8').catch(() => undefined)
    if (text?.includes('<script>') && !text.includes('/*script*/')) return text
  }
  return undefined
}
