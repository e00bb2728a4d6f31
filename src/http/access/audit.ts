import { shortened } from '../../core/printable.js'
import type { Operation, Target } from './access.js'
import type { AuthMethod } from './identity.js'
import type { AccessSettings } from './settings.js'

/** Topics that are named in one line; a request may have thousands. */
const MAX_TOPICS = 20

/** One decision: who, what, allowed or not. Never a credential, a key or a value. */
export interface AuditLine extends Target {
  readonly allowed: boolean
  readonly principal?: string | undefined
  readonly method?: AuthMethod | undefined
  /** Address of the client; `unix` on the unix socket. */
  readonly address: string
  readonly operation?: Operation | undefined
  /** At most {@link MAX_TOPICS} of them. */
  readonly topics?: readonly string[] | undefined
  /** The reason for a refusal. */
  readonly reason?: string | undefined
  readonly requestId: string
}

/** Where audit lines go. */
export type AuditSink = (line: AuditLine) => void

/** Writes those decisions that the settings ask for. */
export class Audit {
  readonly #which: AccessSettings['audit']
  readonly #sink: AuditSink

  constructor(which: AccessSettings['audit'], sink: AuditSink) {
    this.#which = which
    this.#sink = sink
  }

  /** Asked before a line is made, so that a line that is not written costs no object. */
  wants(isAllowed: boolean): boolean {
    return this.#which === 'all' || (this.#which === 'denied' && !isAllowed)
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
