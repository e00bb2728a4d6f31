import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bodyOf, cpuUsPerRequest, measureDelivered, requestsPerSecond, single } from './push.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import type { LoadReport, LoadRun } from './tools/load.js'
import type { BenchOptions } from './tools/options.js'
import { median, type Row } from './tools/report.js'
import { pushOne, type Server, startFloor, startGateway } from './tools/servers.js'

/** The lines of Node that Castellan supports. */
const MAJORS = [20, 22, 24]
const CONNECTIONS = 256
const PARTITIONS = 4
const TOPIC = 'push'
const WARM_UP_MS = 500
const FIND_TIMEOUT_MS = 30_000

interface Node {
  readonly major: number
  readonly version: string
  readonly path: string
}

interface Work {
  readonly name: string
  readonly body: string
  readonly records: number
  readonly isFloor?: boolean
}

const hundred = Array.from({ length: 100 }, () => 'x'.repeat(1024))

const works: readonly Work[] = [
  { name: 'floor', body: bodyOf(TOPIC, [single], false), records: 1, isFloor: true },
  { name: 'push-async', body: bodyOf(TOPIC, [single], false), records: 1 },
  { name: 'push-sync', body: bodyOf(TOPIC, [single], true), records: 1 },
  { name: 'push-sync-100', body: bodyOf(TOPIC, hundred, true), records: 100 }
]

/**
 * The works of `push` through gateways that run on different versions of Node, in turn, each next to the floor on the same
 * version. Load generator and broker run on the version that runs the benchmark. A version that is not installed and that
 * `npx -p node@MAJOR` has not fetched before is left out.
 */
export async function nodes({ seconds, rounds, only }: BenchOptions): Promise<readonly Row[]> {
  const found = await findNodes()
  const chosen = works.filter(({ name, isFloor }) => isFloor || (only?.includes(name) ?? true))
  const broker = await startBroker({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })
  const servers = new Map<Node, { readonly floor: Server; readonly gateway: Server }>()
  const { child: load } = await Child.start('./load.ts')
  const reports = new Map<string, LoadReport[]>()
  try {
    for (const node of found) {
      const gateway = await startGateway(broker.bootstrap, [], undefined, [], [], node.path)
      servers.set(node, { floor: await startFloor(node.path), gateway })
      await pushOne(gateway.port, TOPIC)
    }
    // The first round is for the compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const work of chosen) {
        for (const [node, { floor, gateway }] of servers) {
          const run = toRun(work, seconds)
          const report = work.isFloor
            ? await load.ask<LoadReport>('run', run(floor))
            : await measureDelivered(load, gateway, broker, work, run)
          const name = nameOf(work, node)
          if (round > 0) reports.set(name, [...(reports.get(name) ?? []), report])
        }
      }
    }
  } finally {
    const all = Array.from(servers.values(), ({ floor, gateway }) => [floor.stop(), gateway.stop()]).flat()
    await Promise.all([load.stop(), ...all])
    await broker.stop()
  }
  return chosen.flatMap(work => found.map(node => toRow(work, node, reports)))
}

/** The Node that runs the benchmark, and the other ones that npx has. */
async function findNodes(): Promise<readonly Node[]> {
  const own = { path: process.execPath, version: process.version }
  const ownMajor = majorOf(process.version)
  const found: Node[] = []
  for (const major of new Set([...MAJORS, ownMajor])) {
    const node = major === ownMajor ? own : await nodeOfNpx(major)
    if (node === undefined) process.stderr.write(`bench: npx does not have node@${major}: it is LEFT OUT\n`)
    else found.push({ major, ...node })
  }
  return found
}

const majorOf = (version: string): number => Number(/^v(\d+)/.exec(version)![1])

/**
 * Looks into npm's cache. `npx --no` says of some versions of npm that a Node is missing which `npx -y` has installed there.
 */
async function nodeOfNpx(major: number): Promise<{ path: string; version: string } | undefined> {
  const fetched = join(process.env.npm_config_cache ?? join(homedir(), '.npm'), '_npx')
  const directories = await readdir(fetched).catch(() => [])
  for (const directory of directories) {
    const path = join(fetched, directory, 'node_modules', 'node', 'bin', 'node')
    const version = await versionOf(path)
    if (version !== undefined && majorOf(version) === major) return { path, version }
  }
  return undefined
}

async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: FIND_TIMEOUT_MS })
    return stdout.trim()
  } catch {
    return undefined
  }
}

const toRun =
  ({ body, isFloor }: Work, seconds: number) =>
  ({ port, pid }: Server): LoadRun => ({
    port,
    pid,
    body,
    path: isFloor ? '/' : '/kprf/push',
    connections: CONNECTIONS,
    warmUpMs: WARM_UP_MS,
    measureMs: seconds * 1_000
  })

const nameOf = ({ name }: Work, { major }: Node): string => `${name}-node-${major}`

function toRow(work: Work, node: Node, reports: ReadonlyMap<string, readonly LoadReport[]>): Row {
  const medianOf = (name: string, figure: (report: LoadReport) => number): number =>
    median(reports.get(name)!.map(figure))
  const name = nameOf(work, node)
  const cpuUs = medianOf(name, cpuUsPerRequest)
  const requests = medianOf(name, requestsPerSecond)
  const floor = nameOf(works[0]!, node)
  return {
    work: name,
    value: requests,
    unit: 'requests/s',
    recordsPerSecond: requests * work.records,
    p50Ms: medianOf(name, report => report.p50Ms),
    p99Ms: medianOf(name, report => report.p99Ms),
    cpuUsPerRequest: cpuUs,
    rssMb: medianOf(name, report => report.rssMaxBytes) / 1e6,
    // A hundred records have no floor here.
    ...(work.isFloor !== true &&
      work.records === 1 && { ratio: medianOf(floor, cpuUsPerRequest) / cpuUs, against: floor }),
    note: node.version
  }
}
