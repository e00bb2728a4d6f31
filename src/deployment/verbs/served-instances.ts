import {
  type InstanceName,
  type InstanceRead,
  type InstanceResult,
  type InstanceVerbs,
  PLAIN_INSTANCE_VERBS
} from '../../verbs/verbs.js'
import { inCluster, serve } from '../calls/call.js'
import type { AskedRead, Numbered, PlainCall, ReadAnswer } from '../calls/instance-calls.js'
import type { Peers } from '../calls/peers.js'
import { CALLS } from '../calls/table.js'
import { BegunByOthers } from './begun-by-others.js'

const { instances: calls } = CALLS

/** Answers the verbs that other processes pass on to this one. */
export function serveInstances<Id>(instances: InstanceVerbs, cluster: string, peers: Peers<Id>): void {
  for (const verb of PLAIN_INSTANCE_VERBS) {
    const call: PlainCall = calls[verb]
    const method = instances[verb] as (...args: unknown[]) => Promise<InstanceResult<unknown>>
    serve(peers, inCluster(call, cluster), asked => numbered(instances, asked[0], method.apply(instances, [...asked])))
  }
  serve(peers, inCluster(calls.subscribe, cluster), ({ instance, topics, allowed }) => {
    const names = allowed && new Set(allowed)
    const includes = names && ((topic: string): boolean => names.has(topic))
    const asked = 'topics' in topics ? topics : { ...topics, includes }
    return numbered(instances, instance, instances.subscribe(instance, asked))
  })
  serveReads(instances, cluster, peers)
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
function serveReads<Id>(instances: InstanceVerbs, cluster: string, peers: Peers<Id>): void {
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
  serve(peers, inCluster(calls.read, cluster), (asked, { from }) =>
    numbered(instances, asked.instance, read(asked, from))
  )
  serve(peers, inCluster(calls.settle, cluster), ({ id, accepted }, { from }) => reads.end(from, id, accepted))
  peers.onGone(from => {
    // The clients of a process are gone with it.
    reads.endAllOf(from, 0)
  })
}
