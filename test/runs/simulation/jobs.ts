import { fork } from 'node:child_process'
import type { Range } from '../../support/tool-options.js'
import type { RunArguments } from './arguments.js'
import { runSeeds, type Score } from './seeds.js'

/** What a job tells the process that started it. */
type Message =
  | { readonly type: 'began'; readonly seed: number; readonly score: Score }
  /** Everything about one seed at once, so that two jobs do not speak at the same time. */
  | { readonly type: 'report'; readonly text: string }
  | { readonly type: 'done'; readonly score: Score }

/** Whether this process is a job of another one. */
export const isJob = (): boolean => process.send !== undefined

/** Shares the seeds out to processes of their own, since a world is one per process. */
export async function runSideBySide({ seeds, jobs }: RunArguments, args: readonly string[]): Promise<Score> {
  const scores = await Promise.all(sharesOf(seeds, jobs).map(share => startJob(args, share)))
  return {
    passed: scores.reduce((sum, { passed }) => sum + passed, 0),
    failed: scores.reduce((sum, { failed }) => sum + failed, 0)
  }
}

function sharesOf({ from, to }: Range, jobs: number): Range[] {
  const size = Math.ceil((to - from + 1) / jobs)
  const shares: Range[] = []
  for (let first = from; first <= to; first += size) shares.push({ from: first, to: Math.min(to, first + size - 1) })
  return shares
}

function startJob(args: readonly string[], { from, to }: Range): Promise<Score> {
  const child = fork(process.argv[1]!, [...args, '--seeds', `${from}-${to}`, '--jobs', '1'])
  let [seed, score] = [from, { passed: 0, failed: 0 }]
  let isDone = false
  child.on('message', (message: Message) => {
    if (message.type === 'report') return console.log(message.text)
    score = message.score
    if (message.type === 'began') seed = message.seed
    else isDone = true
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (!isDone) console.log(describeEnd(seed, to, signal ?? `exit code ${code}`))
      resolve(isDone ? score : { ...score, failed: score.failed + 1 })
    })
  })
}

const describeEnd = (seed: number, to: number, how: string): string =>
  `seed ${seed}: THE PROCESS ENDED (${how})${seed < to ? `, and seeds ${seed + 1} to ${to} were not run` : ''}`

/** Runs the seeds of this job. */
export async function runJob(wanted: RunArguments): Promise<void> {
  const tell = (message: Message): void => void process.send!(message)
  let lines: string[] = []
  const flush = (): void => {
    if (lines.length > 0) tell({ type: 'report', text: lines.join('\n') })
    lines = []
  }
  const score = await runSeeds(wanted, {
    began(seed, score) {
      flush()
      tell({ type: 'began', seed, score })
    },
    say: text => void lines.push(text)
  })
  flush()
  tell({ type: 'done', score })
  process.disconnect()
}
