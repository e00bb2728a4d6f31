import { removeCopy } from '../support/project-copy.js'
import { endOnSignals } from '../support/tool.js'
import { readArguments } from './arguments.js'
import { Compiler } from './compiler.js'
import { coverageOf } from './coverage.js'
import { type Found, findMutants, instrument, type Mutant } from './mutants.js'
import { chosenFiles, sourcesOf, testsOf } from './rooms.js'
import { createSandbox } from './sandbox.js'
import { tryMutant, type Verdict } from './verdicts.js'

const { sample, seed, file: filePatterns, tests: testPatterns, ...wanted } = await readArguments()
const { minutes, jobs, list, verbose, rooms, changed } = wanted
endOnSignals()
const until = Date.now() + minutes * 60_000

interface Score {
  readonly room: string
  readonly outOf: number
  readonly counts: Readonly<Record<Verdict, number>>
}

async function scoreRoom(room: string): Promise<Score> {
  const counts: Record<Verdict, number> = { killed: 0, survived: 0, 'timed out': 0, 'no coverage': 0 }
  const sources = chosenFiles(sourcesOf(room), filePatterns).filter(path => changed?.has(path) ?? true)
  const candidates = await findMutants(sources, seed, changed)
  const { files, mutants } = await instrument(await choose(candidates))
  const outOf = candidates.length
  console.log(`\n${room}: ${mutants.length} of ${outOf} mutants (seed ${seed})`)
  if (list) mutants.forEach(mutant => console.log(describe(mutant)))
  if (list || mutants.length === 0) return { room, outOf, counts }
  const sandbox = await createSandbox(files)
  try {
    const tests = chosenFiles(testsOf(room), testPatterns).map(path => path.replace(/\.ts$/, '.js'))
    const coverage = await coverageOf(sandbox, tests, { jobs, until })
    for (const failing of coverage.failing) console.log(`  fails without a mutant, and is left out: ${failing}`)
    const waiting = [...mutants]
    const work = async (): Promise<void> => {
      for (let mutant = waiting.shift(); mutant !== undefined && Date.now() < until; mutant = waiting.shift()) {
        const result = await tryMutant(sandbox, mutant.id, coverage, until)
        if (result === undefined) return
        const { verdict, by } = result
        counts[verdict]++
        const unnoticed = verdict === 'survived' || verdict === 'no coverage'
        if (unnoticed || verbose) console.log(`  ${verdict}: ${describe(mutant)}${by && `\n      ${by}`}`)
      }
    }
    await Promise.all(Array.from({ length: jobs }, work))
  } finally {
    await removeCopy(sandbox)
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

const scores: Score[] = []
for (const room of rooms) {
  if (Date.now() >= until) break
  try {
    scores.push(await scoreRoom(room))
  } catch (error) {
    if (changed === undefined) throw error
    // A figure for those who read on; it never decides about a change.
    console.log(`${room}: could not be measured`, error)
  }
}
printTable(scores)
