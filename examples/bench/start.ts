import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { DIST } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'

const LIBRARY = new URL('index.js', DIST).href
const MAIN = fileURLToPath(new URL('main.js', DIST))
const IMPORT = `const t = performance.now(); await import('${LIBRARY}'); console.log(performance.now() - t)`
const SERVE = ['serve', '--port', '0', '--management-port', '0', '--embedded-port', '0']

/** Milliseconds until something has happened, each in a process of its own. */
const works = new Map<string, () => Promise<number>>([
  ['node', () => untilExit(['-e', '0'])],
  ['import', () => untilLine(['--input-type=module', '-e', IMPORT], /^([\d.]+)$/)],
  ['version', () => untilExit([MAIN, '--version'])],
  ['serve', () => untilLine([MAIN, ...SERVE], /"msg":"listening on /)]
])

/** How long the library takes to be imported, and the command to answer and to listen; next to a Node that does nothing. */
export async function start({ rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const chosen = [...works].filter(([work]) => work === 'node' || (only?.includes(work) ?? true))
  const timesMs = new Map(chosen.map(([work]) => [work, [] as number[]]))
  for (let round = 0; round < rounds; round++) {
    for (const [work, measure] of chosen) timesMs.get(work)!.push(await measure())
  }
  return chosen.map(([work]) => ({ work, value: median(timesMs.get(work)!), unit: 'ms', note: notes.get(work)! }))
}

const notes = new Map([
  ['node', 'a Node process that does nothing, from its start to its end'],
  ['import', "import('castellan') in a Node that runs already"],
  ['version', 'castellan --version, from its start to its end'],
  ['serve', 'castellan serve, from its start until it listens, embedded broker included']
])

async function untilExit(args: readonly string[]): Promise<number> {
  const startedAt = performance.now()
  const [code] = await once(spawn(process.execPath, args, { stdio: 'ignore' }), 'exit')
  if (code !== 0) throw new Error(`node ${args.join(' ')} ended with code ${code}`)
  return performance.now() - startedAt
}

/** @returns the number in the line, or the time until it came */
async function untilLine(args: readonly string[], pattern: RegExp): Promise<number> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  let timeMs: number | undefined
  for await (const line of createInterface({ input: child.stdout })) {
    const found = line.match(pattern)
    if (!found || timeMs !== undefined) continue
    timeMs = found[1] === undefined ? performance.now() - startedAt : Number(found[1])
    child.kill('SIGKILL')
  }
  await exited
  if (timeMs === undefined) throw new Error(`node ${args.join(' ')} ended too early`)
  return timeMs
}
