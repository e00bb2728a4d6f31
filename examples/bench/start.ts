import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { DIST } from './tools/in-process.js'
import { installed, NotInstalled } from './tools/installed.js'
import type { BenchOptions } from './tools/options.js'
import { OWN_FOLDER } from './tools/own-folder.js'
import { median, type Row } from './tools/report.js'

const MAIN = fileURLToPath(new URL('main.js', DIST))
const CLIENT = new URL('client.js', DIST).href
const OPEN = `const { openCastellan } = await import('${CLIENT}')
await (await openCastellan({ brokers: '127.0.0.1:1' })).close({ timeoutMs: 0 })`
const PORTS = ['--port', '0', '--management-port', '0', '--embedded-port', '0']
const SERVE = ['serve', ...PORTS, '--set', `wal.directory=${join(OWN_FOLDER, 'wal')}`]

const LISTENS = /"msg":"listening on /
/** Clients that are installed alone, by their names: how each is opened, once it is imported as `client`. */
const CLIENTS: Readonly<Record<string, string>> = {
  'castellan-client': `await client.openCastellan({ brokers: '127.0.0.1:1' })`,
  kafkajs: `const { Kafka, Partitioners } = client.default
    new Kafka({ brokers: ['127.0.0.1:1'] }).producer({ createPartitioner: Partitioners.DefaultPartitioner })`,
  '@platformatic/kafka': `new client.Producer({ clientId: 'bench', bootstrapBrokers: ['127.0.0.1:1'] })`
}
const WORKS_OF_CLIENTS = Object.entries(CLIENTS).flatMap(([name, open]): [string, () => Promise<number>][] => {
  const importing = `const client = await import('${name}')`
  return [
    [`packages-${name}`, async () => (await installed(name)).packages],
    [`size-${name}`, async () => (await installed(name)).mb],
    [`cpu-${name}`, async () => cpuOf(importing, (await installed(name)).folder)],
    [`opened-${name}`, async () => cpuOf(`${importing}\n${open}`, (await installed(name)).folder)]
  ]
})

/** Until the garbage of the start is collected, as far as it is. */
const SETTLE_MS = 5_000

/** The works. Each runs in its own process and returns milliseconds, a duration or CPU time, or MB of memory. */
const works = new Map<string, () => Promise<number>>([
  ['node', () => untilExit(['-e', '0'])],
  ['import', () => cpuOf(`await import('${new URL('index.js', DIST).href}')`)],
  ['import-client', () => cpuOf(`await import('${CLIENT}')`)],
  ['import-testing', () => cpuOf(`await import('${new URL('testing.js', DIST).href}')`)],
  ['import-kafkajs', () => cpuOf(`await import('kafkajs')`)],
  ['open', () => cpuOf(OPEN)],
  ['version', () => untilExit([MAIN, '--version'])],
  ['serve', () => untilLine([MAIN, ...SERVE], LISTENS)],
  ['rss', () => rssOf([MAIN, ...SERVE], LISTENS)],
  ...WORKS_OF_CLIENTS
])

/**
 * Measures how long it takes to import the library and to start the command, compared with a Node process that does
 * nothing. A client that cannot be installed has no figures, and its rows say why.
 */
export async function start({ rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const chosen = [...works].filter(([work]) => work === 'node' || (only?.includes(work) ?? true))
  const timesMs = new Map(chosen.map(([work]) => [work, [] as number[]]))
  const missing = new Map<string, string>()
  for (let round = 0; round < rounds; round++) {
    for (const [work, measure] of chosen)
      try {
        timesMs.get(work)!.push(await measure())
      } catch (error) {
        if (!(error instanceof NotInstalled)) throw error
        missing.set(work, error.message)
      }
  }
  return chosen.map(([work]) => ({
    work,
    value: median(timesMs.get(work)!),
    unit: unitOf(work),
    note: missing.get(work) ?? notes.get(work) ?? noteOfClient(work)
  }))
}

function unitOf(work: string): string {
  if (work.startsWith('packages-')) return ''
  return work === 'rss' || work.startsWith('size-') ? 'MB' : 'ms'
}

/** @param work such as `size-kafkajs` */
function noteOfClient(work: string): string {
  const [kind, name] = [work.slice(0, work.indexOf('-')), work.slice(work.indexOf('-') + 1)]
  if (kind === 'packages') return `packages that npm installs for ${name} --omit=optional, itself included`
  if (kind === 'size') return 'size of their files'
  if (kind === 'opened') return 'CPU of that and of opening it, which connects in the background at most'
  return `CPU of import('${name}')`
}

const notes = new Map([
  ['node', 'a Node process that does nothing, from its start to its end'],
  ['import', "CPU of import('castellan') in a Node that runs already"],
  ['import-client', "CPU of import('castellan/client')"],
  ['import-testing', "CPU of import('castellan/testing')"],
  ['import-kafkajs', "CPU of import('kafkajs')"],
  ['open', "CPU of import('castellan/client') and openCastellan together"],
  ['version', 'castellan --version, from its start to its end'],
  ['serve', 'castellan serve, from its start until it listens, embedded broker included'],
  ['rss', 'memory of that process in RAM, 5 s after it listens']
])

async function untilExit(args: readonly string[]): Promise<number> {
  const startedAt = performance.now()
  const [code] = await once(spawn(process.execPath, args, { stdio: 'ignore' }), 'exit')
  if (code !== 0) throw new Error(`node ${args.join(' ')} ended with code ${code}`)
  return performance.now() - startedAt
}

/** User and system time of some code in a folder, without the time of an idle Node process. */
const cpuOf = (code: string, folder?: string): Promise<number> =>
  untilLine(
    [
      '--input-type=module',
      '-e',
      `const before = process.cpuUsage()
      ${code}
      const { user, system } = process.cpuUsage(before)
      console.log((user + system) / 1000)`
    ],
    /^([\d.]+)$/,
    folder
  )

/** Resident memory in MB of a process of Linux, some time after a line that matches. */
async function rssOf(args: readonly string[], pattern: RegExp): Promise<number> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    for await (const line of createInterface({ input: child.stdout })) if (pattern.test(line)) break
    await sleep(SETTLE_MS)
    const [, kilobytes] = readFileSync(`/proc/${child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)!
    return Number(kilobytes) / 1_024
  } finally {
    child.kill('SIGKILL')
  }
}

/** Waits for a line that matches. Returns the number in the line, or the time until the line came. */
async function untilLine(args: readonly string[], pattern: RegExp, folder?: string): Promise<number> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: folder })
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
