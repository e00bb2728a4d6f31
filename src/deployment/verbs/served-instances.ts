import {
  type InstanceName,
  type InstanceRead,
  type InstanceReadLimits,
  type InstanceRecord,
  type InstanceResult,
  type InstanceVerbs,
  PLAIN_INSTANCE_VERBS
} from '../../verbs/verbs.js'
import type { Peers } from '../calls/peers.js'

/** Limit of ends of reads that came before their reads. */
const MAX_EARLY_ENDS = 10_000

export interface AskedRead {
  readonly instance: InstanceName
  readonly limits: Omit<InstanceReadLimits, 'gone' | 'client'>
  /** Number of the read, unique at its caller. */
  readonly id: number
}
export interface ReadAnswer {
  readonly records: readonly InstanceRecord[]
  readonly format?: string
  readonly waitMs?: number | undefined
}

/** What the owner of an instance answers: a result, and the number that the instance has now. Release 0.2.0 tells none. */
export type Numbered<Result> = Result & { readonly number?: string | undefined }

/** How far the client of a read has got its answer; 0 also for a read whose client is gone. */
export interface Settled {
  readonly id: number
  readonly accepted: number
}
/** A subscription. The client may read only `allowed` of the topics that match; absent: all of them. */
export interface AskedSubscription {
  readonly instance: InstanceName
  readonly topics: { readonly topics: readonly string[] } | { readonly pattern: string }
  readonly allowed: readonly string[] | undefined
}

/** Answers the verbs that other processes pass on to this one. */
export function serveInstances<Id>(instances: InstanceVerbs, cluster: string, peers: Peers<Id>): void {
  const serve = <Body>(verb: string, handler: (body: Body, from: Id) => unknown): void =>
    peers.serve(`instance ${verb} ${cluster}`, (body: Body, { from }) => handler(body, from))
  for (const verb of PLAIN_INSTANCE_VERBS) {
    const method = instances[verb] as (...args: unknown[]) => Promise<InstanceResult<unknown>>
    serve(verb, (args: [InstanceName, ...unknown[]]) => numbered(instances, args[0], method.apply(instances, args)))
  }
  serve('subscribe', ({ instance, topics, allowed }: AskedSubscription) => {
    const names = allowed && new Set(allowed)
    const includes = names && ((topic: string): boolean => names.has(topic))
    const asked = 'topics' in topics ? topics : { ...topics, includes }
    return numbered(instances, instance, instances.subscribe(instance, asked))
  })
  const reads = new ReadsOfOthers<Id>(instances)
  serve('read', (asked: AskedRead, from) => numbered(instances, asked.instance, reads.read(asked, from)))
  serve('settle', ({ id, accepted }: Settled, from) => reads.settle(from, id, accepted))
  peers.onGone(from => reads.endAllOf(from))
}

/** Adds the number that the instance has now. */
async function numbered<Result extends object>(
  instances: InstanceVerbs,
  instance: InstanceName,
  carriedOut: Promise<Numbered<Result>>
): Promise<Numbered<Result>> {
  const result = await carriedOut
  const number = result.number ?? instances.numberOf?.(instance)
  return number === undefined ? result : { ...result, number }
}

interface OpenRead {
  readonly gone: AbortController
  /** Absent: it is not answered yet. */
  settle?: InstanceRead['settle']
}

/** The reads that other processes have passed on to this one. */
class ReadsOfOthers<Id> {
  readonly #instances: InstanceVerbs
  /** Reads that are open or not settled, by caller and id. */
  readonly #reads = new Map<Id, Map<number, OpenRead>>()
  /**
   * Reads whose ends came before they did, by caller and id, also of callers that are gone: such a read would hold up all
   * others until its time is over.
   */
  readonly #earlyEnds = new Set<string>()

  constructor(instances: InstanceVerbs) {
    this.#instances = instances
  }

  async read({ instance, limits, id }: AskedRead, from: Id): Promise<InstanceResult<ReadAnswer>> {
    if (this.#earlyEnds.delete(`${from} ${id}`)) return { type: 'done', value: { records: [], format: '' } }
    const open: OpenRead = { gone: new AbortController() }
    const ofCaller = this.#reads.get(from) ?? new Map<number, OpenRead>()
    this.#reads.set(from, ofCaller.set(id, open))
    const { signal: gone } = open.gone
    const result = await this.#instances.read(instance, { ...limits, gone })
    if (result.type !== 'done') {
      ofCaller.delete(id)
      return result
    }
    const { records, format, waitMs, settle, passedOn } = result.value
    open.settle = settle
    if (gone.aborted) settle(0)
    // From its answer on, the caller counts them.
    setImmediate(() => passedOn?.())
    return { type: 'done', value: { records, format, waitMs } }
  }

  settle(from: Id, id: number, accepted: number): void {
    const open = this.#reads.get(from)?.get(id)
    this.#reads.get(from)?.delete(id)
    if (open?.settle) open.settle(accepted)
    else if (open) open.gone.abort()
    else {
      this.#earlyEnds.add(`${from} ${id}`)
      if (this.#earlyEnds.size > MAX_EARLY_ENDS) this.#earlyEnds.delete(this.#earlyEnds.values().next().value!)
    }
  }

  /** Its clients are gone with it. */
  endAllOf(from: Id): void {
    for (const id of [...(this.#reads.get(from)?.keys() ?? [])]) this.settle(from, id, 0)
    this.#reads.delete(from)
  }
}
