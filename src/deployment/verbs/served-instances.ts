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
import { BegunByOthers } from './begun-by-others.js'

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

/** Answer of the owner of an instance: a result, and the present number of the instance. Release 0.2.0 sends no number. */
export type Numbered<Result> = Result & { readonly number?: string | undefined }

/** How far the client of a read has got its answer; 0 also for a read whose client is gone. */
export interface SettledRead {
  readonly id: number
  readonly accepted: number
}
/** A subscription. The client may read only `allowed` of the topics that match; absent: all of them. */
export interface AskedSubscription {
  readonly instance: InstanceName
  readonly topics: { readonly topics: readonly string[] } | { readonly pattern: string }
  readonly allowed: readonly string[] | undefined
}

type Serve<Id> = <Body>(verb: string, handler: (body: Body, from: Id) => unknown) => void

/** Answers the verbs that other processes pass on to this one. */
export function serveInstances<Id>(instances: InstanceVerbs, cluster: string, peers: Peers<Id>): void {
  const serve: Serve<Id> = (verb, handler) =>
    peers.serve(`instance ${verb} ${cluster}`, (body: never, { from }) => handler(body, from))
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
  serveReads(instances, serve, peers)
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

/**
 * Answers reads. An end that arrives before its read counts: otherwise the read would hold up all others of its instance until
 * its time is over.
 */
function serveReads<Id>(instances: InstanceVerbs, serve: Serve<Id>, peers: Peers<Id>): void {
  const reads = new BegunByOthers<number>()
  const read = async ({ instance, limits, id }: AskedRead, from: Id): Promise<InstanceResult<ReadAnswer>> => {
    const gone = new AbortController()
    let settle: InstanceRead['settle'] = () => gone.abort()
    if (!reads.begin(from, id, accepted => settle(accepted)))
      return { type: 'done', value: { records: [], format: '' } }
    const result = await instances.read(instance, { ...limits, gone: gone.signal })
    if (result.type !== 'done') {
      reads.over(from, id)
      return result
    }
    const { records, format, waitMs, passedOn } = result.value
    settle = result.value.settle
    if (gone.signal.aborted) settle(0)
    // When the caller has the answer, it counts the records.
    setImmediate(() => passedOn?.())
    return { type: 'done', value: { records, format, waitMs } }
  }
  serve('read', (asked: AskedRead, from) => numbered(instances, asked.instance, read(asked, from)))
  serve('settle', ({ id, accepted }: SettledRead, from) => reads.end(from, id, accepted))
  peers.onGone(from => {
    // The clients of a process are gone with it.
    reads.endAllOf(from, 0)
  })
}
