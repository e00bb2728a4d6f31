/**
 * The URL that a text is; `undefined`: it is none. Not by `URL.canParse`: that of Node 20 answers `false` to a URL with a letter
 * such as `ü` once it has been called some thousand times.
 */
export function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text)
  } catch {
    return undefined
  }
}
