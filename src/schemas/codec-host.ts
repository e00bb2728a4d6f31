import { OverloadedError } from '../core/errors.js'
import type { ItemFailure, OpenCall, OpenResult, RunCall, RunResult } from './codec-core.js'

/** A schema that codecs are made of. */
export type HostedSource = Omit<OpenCall, 'type' | 'codec'>

/** A codec that a host runs. */
export interface HostedCodec {
  readonly number: number
  readonly source: HostedSource
  /** Approximate memory of the codec. Set by its host when the schema was read. */
  heldBytes?: number
}

export interface WorkItem {
  readonly codec: HostedCodec
  /** JSON, or the payload behind the id. They stay as they are until the work is done. */
  readonly bytes: Uint8Array
  /** Only for `encode`: the schema id before the payload. */
  readonly id: number
}

/** A whole request or read. */
export interface Work {
  readonly type: RunCall['type']
  readonly items: readonly WorkItem[]
  /** Limit of all results together. */
  readonly maxBytes: number
  /** The owner of the work, such as the address of a client: owners take turns. `undefined`: this process itself. */
  readonly owner: string | undefined
}

/** A result for each item. `decode` may have fewer results than items, since a later one that does not fit ends them. */
export type WorkResults = readonly (Buffer | ItemFailure)[]

/** Runs codecs: on a thread, where work that takes too long can be ended, or in place where there are no threads. */
export interface CodecHost {
  /**
   * Reads a schema.
   *
   * @throws WorkEndedError, OverloadedError
   */
  open(codec: HostedCodec, owner: string | undefined): Promise<OpenResult>
  /** @throws WorkEndedError, OverloadedError */
  run(work: Work): Promise<WorkResults>
  /** Fails what is open. */
  close(): void
}

/** Work was ended because it took too much time or memory. */
export class WorkEndedError extends Error {
  override readonly name = 'WorkEndedError'
}

export const noTime = (): Error => new OverloadedError('the thread of the schemas had no time for it')

/** The calls of pieces of work. Their bytes are one copy, in memory of its own, which may be moved to a thread. */
export function callsOf(works: readonly Work[]): RunCall[] {
  const whole = Buffer.allocUnsafeSlow(works.reduce((sum, { items }) => sum + bytesOfItems(items), 0))
  let end = 0
  return works.map(({ type, items, maxBytes }) => {
    const start = end
    const [codecs, ids, ends]: [number[], number[], number[]] = [[], [], []]
    for (const { codec, id, bytes } of items) {
      codecs.push(codec.number)
      if (type === 'encode') ids.push(id)
      whole.set(bytes, end)
      end += bytes.length
      ends.push(end - start)
    }
    return { type, codecs, ids, ends, bytes: whole.subarray(start, end), maxBytes }
  })
}

export const bytesOfItems = (items: Work['items']): number => items.reduce((sum, { bytes }) => sum + bytes.length, 0)

/** The results of other work in one piece with them: small ones, which may be kept for long, do not keep more than this. */
const MAX_KEPT_BYTES = 256 * 1024

export function resultsOf({ ends, bytes, failures }: RunResult): WorkResults {
  const keepsMore = bytes.buffer.byteLength - bytes.length > MAX_KEPT_BYTES
  const whole = keepsMore ? Buffer.from(bytes) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const results: (Buffer | ItemFailure)[] = ends.map((end, item) => whole.subarray(ends[item - 1] ?? 0, end))
  for (const [item, failure] of failures) results[item] = failure
  return results
}
