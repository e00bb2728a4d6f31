import { Command } from 'commander'
import { countOption, orEnd, seedOption, toolOptions, usageError } from '../../support/tool-options.js'
import { endOnSignals } from '../tool.js'
import { AppSide, NODE, OWN, TIGHT_LIMITS, takeBugs } from './app-side.js'
import { clock, stopClockDuringTicks } from './clock.js'
import { type Found, Fuzzer, playAlone } from './fuzzer.js'
import type { Pair } from './open-differences.js'
import type { Difference } from './play.js'
import { fromLiteral, type Script, toLiteral } from './script.js'
import { Ticks } from './ticks.js'

interface Options {
  readonly seed: number
  readonly requests: number
  readonly seconds: number
  readonly first: number
  readonly connections: number
  readonly differences: number
  readonly servers: string
  readonly script?: string
  readonly repeatable?: boolean
}

const command = new Command('npm run test:fuzz --')
  .description(
    'Sends the same bytes, in the same pieces, to the gateway and to node:http in its place, and compares: the bytes of the answers, what handlers\n' +
      'were given, and what becomes of the connection. Requests are valid, unusual, broken or changed at random, pipelined,\n' +
      'and cut anywhere. A difference is made as small as it gets, and printed with the command that repeats it.'
  )
  .addOption(seedOption())
  .addOption(countOption('--requests <N>', 'ends after so many compared answers', 1_000_000))
  .addOption(countOption('--seconds <S>', 'ends after so long', 3_600))
  .addOption(countOption('--first <N>', 'number of the first connection of the seed', 0, 0))
  .addOption(countOption('--connections <N>', 'connections at a time', 64))
  .addOption(countOption('--differences <N>', 'ends after so many differences', 10))
  .option('--servers <ONE,OTHER>', `the servers to compare: ${NODE}, ${OWN}`, `${NODE},${OWN}`)
  .option('--script <JSON>', 'plays this one only, as it was printed')
  .option(
    '--repeatable',
    'counts a difference only if it shows again when its script is played alone; others are printed'
  )
const options = toolOptions<Options>(command)
const SHRINK_TRIES = 1_500
const REST_MS = 10_000
const SAY_EVERY_MS = 10_000
const SHOWN_LETTERS = 3_000

const names = options.servers.split(',')
if (names.length !== 2 || names.some(name => name !== NODE && name !== OWN))
  usageError(command, `--servers ${options.servers}: two of ${NODE} and ${OWN} with a comma between them`)
const script = options.script === undefined ? undefined : orEnd(command, () => parse(options.script!))

function parse(literal: string): Script {
  try {
    return fromLiteral(literal)
  } catch (error) {
    return usageError(command, `--script: ${(error as Error).message}`)
  }
}

/** Two sides with one name would not be told apart. */
const labelOf = (index: number): string => (names[0] === names[1] ? `${names[index]} (${index + 1})` : names[index]!)

interface AppPair extends Pair {
  readonly sides: readonly [AppSide, AppSide]
}

async function startPair(http: object, kind: string): Promise<AppPair> {
  const start = (index: number): Promise<AppSide> => AppSide.start(labelOf(index) + kind, http, names[index] === NODE)
  const sides = [await start(0), await start(1)] as const
  return { sides, ...('maxBodyBytes' in http && { maxBodyBytes: Number(http.maxBodyBytes) }) }
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
const short = (text: string): string =>
  text.length > SHOWN_LETTERS ? `${text.slice(0, SHOWN_LETTERS)}… (${text.length} letters)` : text

function tell({ kind, sides }: Difference, played: Script, pair: Pair, again: string): void {
  console.log(`!!! they differ: ${kind}`)
  console.log(`    sent     ${short(toLiteral(played))}`)
  sides.forEach(({ fate, answers, handled }, i) => {
    console.log(`    ${pair.sides[i as 0 | 1].name}: ${fate} after ${short(JSON.stringify(answers))}`)
    if (kind === 'handler') console.log(`      handled ${short(JSON.stringify(handled))}`)
  })
  console.log(`    again: ${again}`)
}

const againOf = (index: number): string =>
  `npm run test:fuzz -- --seed ${options.seed} --first ${index} --requests 1 --connections 1`

function tellFound({ index, script: smaller, pair, isShrunk, ...difference }: Found): void {
  const again = isShrunk
    ? `npm run test:fuzz -- --script ${quoted(toLiteral(smaller))}`
    : `npm run test:fuzz -- --seed ${options.seed} --first ${index} (it differs beside other connections only)`
  tell(difference, smaller, pair, short(again))
  if (isShrunk) console.log(`    found as connection ${index} of seed ${options.seed}`)
}

/** The tight pair has one connection in four. */
async function run(): Promise<{ passed: number; failures: string[] }> {
  const usual = await startPair({}, '')
  const tight = await startPair(TIGHT_LIMITS, ' with tight limits')
  const all = [usual, tight].flatMap(({ sides }) => sides)
  const ticks = new Ticks()
  const failures: string[] = []
  let passed = 0
  try {
    if (script !== undefined) {
      for (const pair of [usual, tight]) {
        const { difference, name } = await playAlone(script, pair, ticks)
        if (name !== undefined) console.log(`they differ as it is named: ${name}`)
        if (difference === undefined) passed++
        else if (name !== undefined) {
          tell(difference, script, pair, 'the same command')
          passed++
        } else {
          tell(difference, script, pair, 'the same command')
          failures.push(difference.kind)
        }
      }
    } else {
      const fuzzer = new Fuzzer([usual, usual, usual, tight], ticks, {
        ...options,
        connections: Number.POSITIVE_INFINITY,
        atOnce: options.connections,
        maxDifferences: options.differences,
        shrinkTries: SHRINK_TRIES,
        onFound: (kind, index) => say(`${kind} of connection ${index} differ; again: ${againOf(index)}`)
      })
      const startedAt = clock()
      const say = (line: string): void =>
        console.log(`${((clock() - startedAt) / 1_000).toFixed(1).padStart(7)} s  ${line}`)
      // Clients are reset all the time; the stack of each such error would cost a tenth of the run.
      Error.stackTraceLimit = 0
      const saying = setInterval(
        () => say(`${fuzzer.counts.requests} requests compared, ${fuzzer.differences} differences`),
        SAY_EVERY_MS
      )
      await fuzzer.run()
      clearInterval(saying)
      const { connections, requests, bytes, named, seconds, cpuSeconds } = fuzzer.counts
      console.log(
        `${requests} requests on ${connections} connections, ${bytes} bytes, in ${seconds.toFixed(1)} s: ` +
          `${Math.round(requests / seconds)}/s, ${Math.round(requests / cpuSeconds)} per second of CPU`
      )
      for (const { name, shareByHand } of [...usual.sides, ...tight.sides])
        console.log(`${name}: ${Math.round(100 * shareByHand)} % of the requests were not read by Node's parser`)
      for (const [name, indexes] of named)
        console.log(
          `${indexes.length} connections differ as it is named: ${name} (connections ${indexes.slice(0, 3).join(', ')}, …)`
        )
      fuzzer.found.forEach(tellFound)
      passed += requests
      const counted = options.repeatable ? fuzzer.found.filter(({ isShrunk }) => isShrunk) : fuzzer.found
      failures.push(...counted.map(({ kind, index }) => `${kind} of connection ${index} differ`))
    }
    for (const side of all) failures.push(...(await side.stillHeld(REST_MS)))
    failures.push(...takeBugs().map(bug => `logged: ${bug}`))
  } finally {
    ticks.stop()
    await Promise.all(all.map(side => side.close()))
  }
  return { passed, failures }
}

endOnSignals()
stopClockDuringTicks()
console.log(`comparing ${names.join(' with ')}, seed ${options.seed}`)
const { passed, failures } = await run()
for (const failure of failures.slice(0, 30)) console.log(`!!! ${failure.slice(0, SHOWN_LETTERS)}`)
if (failures.length > 0) console.log(`seed ${options.seed}`)
console.log(`${passed} passed, ${failures.length} failed`)
process.exit(failures.length === 0 ? 0 : 1)
