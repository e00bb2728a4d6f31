/** A failed test, or a failed hook of its file. */
export interface Failure {
  readonly file: string
  readonly title: string
  readonly isHook: boolean
  readonly error: string
}

/** What runs once more, alone: one test, or without `grep` all tests of a file, one of whose hooks failed. */
export interface Rerun {
  readonly file: string
  readonly title: string
  readonly grep?: string
}

/** With more unstable tests than this a run is red: it is not chance any more. */
export const MOST_UNSTABLE = 3

export function rerunsOf(failures: readonly Failure[]): Rerun[] {
  const hooks = new Map(failures.filter(({ isHook }) => isHook).map(({ file, title }) => [file, { file, title }]))
  const tests = failures.filter(({ file }) => !hooks.has(file))
  return [...hooks.values(), ...tests.map(({ file, title }) => ({ file, title, grep: wholeTitle(title) }))]
}

const wholeTitle = (title: string): string => `^${title.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&')}$`

/**
 * Runs each failure of an explored suite once more. Red twice is red; red once is printed as unstable. With more than
 * {@link MOST_UNSTABLE} failures nothing runs again, since the run is red either way.
 *
 * @param where names the seed and the log of the first failure
 * @param passes runs it alone
 * @returns how many are red
 */
export async function runAgain(
  failures: readonly Failure[],
  where: string,
  passes: (rerun: Rerun) => Promise<boolean>,
  say: (line: string) => void = console.log
): Promise<number> {
  const reruns = rerunsOf(failures)
  if (reruns.length > MOST_UNSTABLE) {
    say(`${reruns.length} failures, more than ${MOST_UNSTABLE}: none of them runs again`)
    return reruns.length
  }
  const lines: string[] = []
  for (const rerun of reruns) {
    say(`\nonce more, alone: ${rerun.title}`)
    lines.push(`${(await passes(rerun)) ? 'unstable' : 'red twice'}: ${rerun.title}, ${where}`)
  }
  lines.forEach(line => say(line))
  return lines.filter(line => line.startsWith('red twice')).length
}
