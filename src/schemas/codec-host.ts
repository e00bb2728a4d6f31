import type { ItemFailure, OpenCall, OpenResult, RunCall, RunResult } from './codec-core.js'

/** A schema that codecs are made of. */
export type HostedSource = Omit<OpenCall, 'type' | 'codec'>

/** A codec that a host runs. */
export interface HostedCodec {
  readonly number: number
  readonly source: HostedSource
  /** About the memory that it takes. Set by its host when it was read. */
  heldBytes?: number
}

export interface WorkItem {
  readonly codec: HostedCodec
  /** JSON, or the payload behind the id. */
  readonly bytes: Uint8Array
  /** Of `encode`: the id that the payload is written behind. */
  readonly id: number
}

/** A whole request or read. */
export interface Work {
  readonly type: RunCall['type']
  readonly items: readonly WorkItem[]
  /** Of all results together. */
  readonly maxBytes: number
  /** Whose work it is, such as the address of a client: owners take turns. `undefined`: this process's own. */
  readonly owner: string | undefined
}

/** Of each item; `decode` may have fewer results than items, since a later one that does not fit ends them. */
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

/** The items of work as one message. Its bytes are a copy, in memory of their own. */
export function callOf({ type, items, maxBytes }: Work): RunCall {
  const ends: number[] = []
  let end = 0
  for (const { bytes } of items) ends.push((end += bytes.length))
  const whole = Buffer.allocUnsafeSlow(end)
  for (const [item, { bytes }] of items.entries()) whole.set(bytes, ends[item]! - bytes.length)
  return {
    type,
    codecs: items.map(({ codec }) => codec.number),
    ids: type === 'encode' ? items.map(({ id }) => id) : [],
    ends,
    bytes: whole,
    maxBytes
  }
}

export function resultsOf({ ends, bytes, failures }: RunResult): WorkResults {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const failed = new Map(failures)
  return ends.map((end, item) => failed.get(item) ?? whole.subarray(ends[item - 1] ?? 0, end))
}
