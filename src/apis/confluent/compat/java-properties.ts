const ESCAPES: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' }

/**
 * Reads a file of Java properties. Of a key that repeats, the last line counts.
 *
 *   listeners=http://0.0.0.0:8082     # and ! begin comments
 *   client.id : a\                    a line that ends with a backslash goes on in the next one
 *       b                             client.id is "ab"
 *
 * Source: java.util.Properties, load
 */
export function readProperties(text: string): ReadonlyMap<string, string> {
  const properties = new Map<string, string>()
  for (const line of logicalLines(text)) {
    const [, key = '', value = ''] = /^((?:\\.|[^\\=:\s])*)\s*[=:]?\s*(.*)$/s.exec(line)!
    if (key !== '') properties.set(unescaped(key), unescaped(value))
  }
  return properties
}

function logicalLines(text: string): string[] {
  const lines: string[] = []
  let open: string | undefined
  for (const natural of text.split(/\r\n|\r|\n/)) {
    const line = natural.trimStart()
    if (open === undefined && (line === '' || line.startsWith('#') || line.startsWith('!'))) continue
    const joined = (open ?? '') + line
    const isOpen = /(?:^|[^\\])(?:\\\\)*\\$/.test(joined)
    open = isOpen ? joined.slice(0, -1) : undefined
    if (!isOpen) lines.push(joined)
  }
  if (open !== undefined) lines.push(open)
  return lines
}

const unescaped = (text: string): string =>
  text.replace(/\\(?:u([\da-fA-F]{4})|(.))/gs, (_, digits: string | undefined, letter: string) =>
    digits === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(digits, 16))
  )
