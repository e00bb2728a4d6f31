import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Lines } from './mutants.js'

/** The lines of `src` that are new since a commit, for each file that has some. */
export async function changedSince(base: string): Promise<Map<string, Lines[]>> {
  const args = ['diff', '--unified=0', '--no-color', '--no-ext-diff', base, '--', 'src']
  const { stdout } = await promisify(execFile)('git', args, { maxBuffer: 256 * 1024 * 1024 })
  return changedLines(stdout)
}

/** Of a diff without context. */
export function changedLines(diff: string): Map<string, Lines[]> {
  const changed = new Map<string, Lines[]>()
  let file = ''
  for (const line of diff.split('\n')) {
    if (line.startsWith('+++ ')) file = line.replace(/^\+\+\+ (b\/)?/, '')
    const [, first, count = '1'] = /^@@ -\S+ \+(\d+)(?:,(\d+))? @@/.exec(line) ?? []
    if (first === undefined || count === '0' || !file.endsWith('.ts')) continue
    changed.set(file, [...(changed.get(file) ?? []), [Number(first), Number(first) + Number(count) - 1]])
  }
  return changed
}
