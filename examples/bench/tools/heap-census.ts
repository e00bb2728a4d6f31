import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { OWN_FOLDER } from './own-folder.js'
import type { Row } from './report.js'

/** Flags of a Node whose heap can be counted. */
export const COUNTED_HEAP = ['--heapsnapshot-signal=SIGUSR2', `--diagnostic-dir=${OWN_FOLDER}`]

const TIMEOUT_MS = 120_000
const POLL_MS = 200
/** What V8 makes while it compiles and optimizes, whatever the process keeps. */
const COMPILED = new Set(['code', 'object shape'])

interface Counted {
  objects: number
  bytes: number
}

/** All objects on the heap of a process, by constructor, and the memory of Node's own behind them. Garbage is not among them. */
export type HeapCensus = ReadonlyMap<string, Readonly<Counted>>

interface Snapshot {
  readonly snapshot: {
    readonly meta: { readonly node_fields: readonly string[]; readonly node_types: readonly [readonly string[]] }
  }
  readonly nodes: readonly number[]
  readonly strings: readonly string[]
}

/** Counts the heap of a process that was started with {@link COUNTED_HEAP}. */
export async function countHeap(pid: number): Promise<HeapCensus> {
  process.kill(pid, 'SIGUSR2')
  const deadline = performance.now() + TIMEOUT_MS
  for (;;) {
    if (performance.now() > deadline) throw new Error(`no heap snapshot within ${TIMEOUT_MS} ms`)
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
    const name = readdirSync(OWN_FOLDER).find(file => file.endsWith('.heapsnapshot'))
    const text = name === undefined ? '' : readFileSync(join(OWN_FOLDER, name), 'latin1')
    if (!text.trimEnd().endsWith(']}')) continue
    rmSync(join(OWN_FOLDER, name!))
    return toCensus(JSON.parse(text) as Snapshot)
  }
}

function toCensus({ snapshot: { meta }, nodes, strings }: Snapshot): HeapCensus {
  const [kinds] = meta.node_types
  const [kindAt, nameAt, sizeAt] = ['type', 'name', 'self_size'].map(field => meta.node_fields.indexOf(field))
  const census = new Map<string, Counted>()
  for (let at = 0; at < nodes.length; at += meta.node_fields.length) {
    const kind = kinds[nodes[at + kindAt!]!]!
    const bytes = nodes[at + sizeAt!]!
    if (bytes === 0 || COMPILED.has(kind)) continue
    const name = kind.endsWith('string') ? kind : `${kind} ${strings[nodes[at + nameAt!]!]!.slice(0, 60)}`
    const counted = census.get(name) ?? { objects: 0, bytes: 0 }
    counted.objects++
    counted.bytes += bytes
    census.set(name, counted)
  }
  return census
}

/** What each of `number` things has added, by constructor, the most bytes first. What comes by chance is left out. */
function addedByEach(before: HeapCensus, after: HeapCensus, number: number): readonly (readonly [string, Counted])[] {
  const added = [...after].map(([name, { objects, bytes }]) => {
    const earlier = before.get(name) ?? { objects: 0, bytes: 0 }
    return [name, { objects: (objects - earlier.objects) / number, bytes: (bytes - earlier.bytes) / number }] as const
  })
  const lasting = added.filter(([, { objects, bytes }]) => objects > 0.5 && bytes > 0)
  return lasting.sort(([, one], [, other]) => other.bytes - one.bytes)
}

/** Rows for what one thing of a kind costs on the heap: `after` has `number` more of them than `before`. */
export function heapRows(
  work: string,
  [before, after]: readonly [HeapCensus, HeapCensus],
  number: number,
  isListed: boolean
): readonly Row[] {
  const added = addedByEach(before, after, number)
  for (const [name, { objects, bytes }] of isListed ? added : []) {
    process.stdout.write(`${objects.toFixed(2).padStart(8)} ${bytes.toFixed(0).padStart(6)} bytes  ${name}\n`)
  }
  const sum = (field: keyof Counted): number => added.reduce((all, [, counted]) => all + counted[field], 0)
  return [
    { work: `${work}-objects`, value: sum('objects'), unit: 'objects' },
    { work: `${work}-heap`, value: sum('bytes'), unit: 'bytes' }
  ]
}
