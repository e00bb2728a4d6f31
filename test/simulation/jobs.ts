import { fork } from 'node:child_process'
import type { RunArguments } from './arguments.js'

/** Shares the seeds out to processes of their own, since a world is one per process. */
export async function runSideBySide(
  { from, to, jobs }: RunArguments,
  args: readonly string[]
): Promise<{ passed: number; failed: number }> {
  const size = Math.ceil((to - from + 1) / jobs)
  const shares = Array.from({ length: jobs }, (_, job) => [
    from + job * size,
    Math.min(to, from + job * size + size - 1)
  ])
  const outputs = await Promise.all(
    shares.filter(([first, last]) => first! <= last!).map(([first, last]) => runShare(args, first!, last!))
  )
  return { passed: sumOf(outputs, 'passing'), failed: sumOf(outputs, 'failing') }
}

/** @returns what it printed */
function runShare(args: readonly string[], first: number, last: number): Promise<string> {
  const own = [...args, '--seeds', `${first}-${last}`, '--jobs', '1']
  const child = fork(process.argv[1]!, own, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  let output = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output += text
    for (const line of text.split('\n')) if (/VIOLATION|NOT THE SAME|^ {2}\S/.test(line)) console.log(line)
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => {
      // A process that ended in another way has lost the seed it was at.
      resolve(/^ {2}\d+ passing$/m.test(output) ? output : `${output}\n  1 failing (exit code ${code})\n`)
    })
  })
}

const sumOf = (outputs: readonly string[], word: string): number =>
  outputs
    .flatMap(output => [...output.matchAll(new RegExp(`^ {2}(\\d+) ${word}`, 'gm'))])
    .reduce((sum, match) => sum + Number(match[1]), 0)
