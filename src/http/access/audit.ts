import { type Cell, counterFamily, gaugeFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'
import { shortened } from '../../core/printable.js'
import type { RefusalNotes, RefusalReason } from '../../core/refusals.js'
import type { AccessTarget, AuthMethod, Identity, IncomingRequest, Operation } from './access.js'
import type { AccessSettings } from './settings.js'

/** Topics that are named in one line; a request may have thousands. */
const MAX_TOPICS = 20

/** One decision: who, what, allowed or not. Never a credential, a key or a value. */
export interface AuditLine extends AccessTarget {
  readonly allowed: boolean
  readonly principal?: string | undefined
  readonly method?: AuthMethod | undefined
  /** Address of the client; `unix` on the unix socket. */
  readonly address: string
  readonly operation?: Operation | undefined
  /** Names of topics, at most {@link MAX_TOPICS}. */
  readonly topics?: readonly string[] | undefined
  readonly reason?: string | undefined
  readonly requestId: string
}

export type AuditSink = (line: AuditLine) => void

/** Writes those decisions that the settings ask for. */
export class Audit {
  readonly #which: AccessSettings['audit']
  readonly #sink: AuditSink

  constructor(which: AccessSettings['audit'], sink: AuditSink) {
    this.#which = which
    this.#sink = sink
  }

  /** Called before a line is made, so that a line that is not written costs no object. */
  wants(isAllowed: boolean): boolean {
    return this.#which === 'all' || (this.#which === 'denied' && !isAllowed)
  }

  /**
   * Writes that a request was refused, if refusals are wanted.
   *
   * @param identity `undefined`: the client has not authenticated
   */
  refused(
    { peer: address, requestId }: IncomingRequest,
    identity: Identity | undefined,
    reason: string,
    what?: AccessTarget & { readonly operation: Operation }
  ): void {
    if (!this.wants(false)) return
    const who = identity && { principal: identity.principal, method: identity.method }
    this.write({ allowed: false, ...who, address, ...what, reason, requestId })
  }

  /** Names that are too long are cut. */
  write(line: AuditLine): void {
    const { topic, topics, group } = line
    this.#sink({
      ...line,
      ...(topic !== undefined && { topic: shortened(topic) }),
      ...(topics !== undefined && { topics: topics.map(shortened) }),
      ...(group !== undefined && { group: shortened(group) })
    })
  }
}

/** The distinct topics of some records, at most as many as one line names. */
export function namedTopics(records: readonly { readonly topic: string }[]): readonly string[] {
  const topics = new Set<string>()
  for (const { topic } of records) {
    topics.add(topic)
    if (topics.size >= MAX_TOPICS) break
  }
  return [...topics]
}

export class AccessMetrics {
  /** Requests of principals whose quota limits them. */
  readonly requestsInFlight: Cell
  readonly #refused = counterFamily(
    'castellan_access_refused_requests_total',
    'Requests that were refused by authentication, rules or quotas'
  )

  readonly #refusals: RefusalNotes | undefined

  /** @param refusals counts them by reason and setting, too */
  constructor({ registry }: PrometheusMetrics, refusals?: RefusalNotes) {
    this.#refusals = refusals
    const inFlight = gaugeFamily(
      'castellan_access_quota_requests_in_flight',
      'Requests in progress of principals with maxRequestsInFlight among their quotas'
    )
    registerFamily(registry, this.#refused)
    this.requestsInFlight = registerFamily(registry, inFlight).series({})
  }

  refused(error: RefusalReason): void {
    this.#refused.series({ reason: error.code }).value++
    this.#refusals?.note(error)
  }
}
