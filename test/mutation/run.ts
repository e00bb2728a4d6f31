import { parseArgs } from 'node:util'
import { changedSince } from './changed-lines.js'
import { Compiler } from './compiler.js'
import { coverageOf } from './coverage.js'
import { type Found, findMutants, instrument, type Lines, type Mutant } from './mutants.js'
import { chosenFiles, roomOf, sourcesOf, testsOf } from './rooms.js'
import { createSandbox, removeSandbox } from './sandbox.js'
import { tryMutant, type Verdict } from './verdicts.js'

const usage = `npm run mutate -- ROOM [ROOM …] [options]

Changes the sources of a room in one place at a time and sees whether its tests notice.

  --sample N       so many mutants of each room, drawn by lot; default 60; all: every one
  --seed S         another seed draws others; default 1
  --file PATTERN   only files whose path contains this, or, behind a !, only others; may be given several times
  --tests PATTERN  only these tests of the room, in the same way: what is left out notices nothing
  --changed BASE   instead of a room: only lines of src that changed since this commit, most changed room first
  --minutes M      begins no new mutant after so many minutes
  --jobs N         processes side by side; default 1
  --list           shows the sample without running anything
  --verbose        shows what became of each mutant, not only of those that nothing noticed
`
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    file: { type: 'string', multiple: true, default: [] },
    tests: { type: 'string', multiple: true, default: [] },
    changed: { type: 'string' },
    minutes: { type: 'string', default: '600' },
    jobs: { type: 'string', default: '1' },
    list: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})
const until = Date.now() + Number(values.minutes) * 60_000
const sample = values.sample === 'all' ? Number.POSITIVE_INFINITY : Number(values.sample)

interface Score {
  readonly room: string
  readonly outOf: number
  readonly counts: Readonly<Record<Verdict, number>>
}

async function scoreRoom(room: string, changed?: ReadonlyMap<string, readonly Lines[]>): Promise<Score> {
  const counts: Record<Verdict, number> = { killed: 0, survived: 0, 'timed out': 0, 'no coverage': 0 }
  const sources = chosenFiles(sourcesOf(room), values.file).filter(file => changed?.has(file) ?? true)
  const candidates = await findMutants(sources, Number(values.seed), changed)
  const { files, mutants } = await instrument(await choose(candidates))
  const outOf = candidates.length
  console.log(`\n${room}: ${mutants.length} of ${outOf} mutants (seed ${values.seed})`)
  if (values.list) mutants.forEach(mutant => console.log(describe(mutant)))
  if (values.list || mutants.length === 0) return { room, outOf, counts }
  const sandbox = await createSandbox(files)
  try {
    const tests = chosenFiles(testsOf(room), values.tests).map(file => file.replace(/\.ts$/, '.js'))
    const coverage = await coverageOf(sandbox, tests, { jobs: Number(values.jobs), until })
    for (const failing of coverage.failing) console.log(`  fails without a mutant, and is left out: ${failing}`)
    const waiting = [...mutants]
    const work = async (): Promise<void> => {
      for (let mutant = waiting.shift(); mutant !== undefined && Date.now() < until; mutant = waiting.shift()) {
        const result = await tryMutant(sandbox, mutant.id, coverage, until)
        if (result === undefined) return
        const { verdict, by } = result
        counts[verdict]++
        const unnoticed = verdict === 'survived' || verdict === 'no coverage'
        if (unnoticed || values.verbose) console.log(`  ${verdict}: ${describe(mutant)}${by && `\n      ${by}`}`)
      }
    }
    await Promise.all(Array.from({ length: Number(values.jobs) }, work))
  } finally {
    await removeSandbox(sandbox)
  }
  return { room, outOf, counts }
}

/** The first of them that compile, as many as are wanted. */
async function choose(candidates: readonly Found[]): Promise<Found[]> {
  const chosen: Found[] = []
  const compiler = await Compiler.start()
  try {
    for (let from = 0; from < candidates.length && chosen.length < sample && Date.now() < until; ) {
      const next = candidates.slice(from, from + Math.min(sample - chosen.length, 60))
      from += next.length
      chosen.push(...(await compiler.takes(next)))
    }
  } finally {
    await compiler.close()
  }
  return chosen
}

const shortened = (code: string): string => {
  const line = code.replace(/\s+/g, ' ')
  return line.length <= 110 ? line : `${line.slice(0, 107)}...`
}

const describe = ({ file, line, kind, original, replacement }: Mutant): string =>
  `${file}:${line} ${kind}: ${shortened(original)}  ->  ${shortened(replacement)}`

/** Rooms that changed, and how many lines each, the most first. */
function changedRooms(changed: ReadonlyMap<string, readonly Lines[]>): string[] {
  const lines = new Map<string, number>()
  for (const [file, ranges] of changed) {
    const room = roomOf(file)
    if (room === undefined || testsOf(room).length === 0) continue
    const count = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)
    lines.set(room, (lines.get(room) ?? 0) + count)
  }
  return [...lines.keys()].sort((a, b) => lines.get(b)! - lines.get(a)!)
}

function printTable(scores: readonly Score[]): void {
  console.log(
    '\n| room | mutants | tried | killed | timed out | survived | no coverage | score |\n|---|---|---|---|---|---|---|---|'
  )
  for (const { room, outOf, counts } of scores) {
    const noticed = counts.killed + counts['timed out']
    const tried = noticed + counts.survived + counts['no coverage']
    const score = tried === 0 ? '' : `${((100 * noticed) / tried).toFixed(0)} %`
    const cells = [
      room,
      outOf,
      tried,
      counts.killed,
      counts['timed out'],
      counts.survived,
      counts['no coverage'],
      score
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

if (values.help || (positionals.length === 0 && values.changed === undefined)) {
  console.log(usage)
  process.exit(values.help ? 0 : 2)
}
const changed = values.changed === undefined ? undefined : await changedSince(values.changed)
const rooms = changed === undefined ? positionals : changedRooms(changed)
const scores: Score[] = []
for (const room of rooms) {
  if (Date.now() >= until) break
  try {
    scores.push(await scoreRoom(room, changed))
  } catch (error) {
    if (changed === undefined) throw error
    // A figure for those who read on; it never decides about a change.
    console.log(`${room}: could not be measured`, error)
  }
}
printTable(scores)
