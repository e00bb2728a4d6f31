import type { RecordFailure } from '../../../core/model.js'
import type { KafboyEvent } from '../hooks/hooks.js'
import { ekafFailures } from './failures.js'

export interface DowntimeDeps {
  /** Whether any broker can be reached. */
  readonly isReady: () => boolean
  readonly tell: (event: KafboyEvent) => void
}

/** What a topic has in hand: only topics with records that wait take memory. */
interface Waiting {
  records: number
  /** Of those, how many came while no broker could be reached. */
  saved: number
}

/** Bounds the records of a topic that wait while no broker can be reached, and tells what becomes of them. */
export class Downtime {
  readonly #deps: DowntimeDeps
  readonly #byTopic = new Map<string, Waiting>()

  constructor(deps: DowntimeDeps) {
    this.#deps = deps
  }

  /** Why a topic may not take more records now. */
  refusalOf(topic: string, records: number, limit: number | undefined): RecordFailure | undefined {
    if (limit === undefined || this.#deps.isReady()) return undefined
    const waiting = this.#byTopic.get(topic)?.records ?? 0
    if (waiting + records <= limit) return undefined
    this.#deps.tell({ name: 'ekaf_callback_max_downtime_buffer_reached', topic, records: waiting })
    return ekafFailures.downtimeBufferFull(topic, limit)
  }

  /** Records were handed on, and their outcomes are waited for. */
  began(topic: string, records: number): void {
    const waiting = this.#byTopic.get(topic) ?? { records: 0, saved: 0 }
    waiting.records += records
    this.#byTopic.set(topic, waiting)
    if (this.#deps.isReady()) return
    waiting.saved += records
    this.#deps.tell({ name: 'ekaf_callback_downtime_saved', topic, records })
  }

  ended(topic: string, records: number): void {
    const waiting = this.#byTopic.get(topic)!
    waiting.records -= records
    if (waiting.saved > 0 && this.#deps.isReady()) {
      this.#deps.tell({ name: 'ekaf_callback_downtime_replayed', topic, records: waiting.saved })
      waiting.saved = 0
    }
    if (waiting.records === 0) this.#byTopic.delete(topic)
  }
}
