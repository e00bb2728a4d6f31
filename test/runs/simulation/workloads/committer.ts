import type { OffsetAndMetadata } from '../../../../src/core/model.js'
import type {
  CommitConsumerOffsetResult,
  FetchConsumerOffsetResult
} from '../../../../src/router/messages/operations.js'
import type { Workload } from '../workload.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'

export interface CommitterOptions {
  readonly name: string
  readonly groupId: string
  readonly topic: string
  readonly partition: number
  readonly pauseMs: readonly [number, number]
}

const TIMEOUTS_MS = [300, 8_000] as const
const PERCENT_OF_LOOKS = 30
const AGAIN_MS = 200
/** In turn, by offset. Empty is not absent. */
const METADATA: readonly ((offset: number) => string | undefined)[] = [
  () => undefined,
  offset => `of ${offset}`,
  () => '',
  offset => `\u00e9 \u{1f600} ${'.'.repeat(offset % 100)}`
]

const metadataOf = (offset: number): string | undefined => METADATA[offset % METADATA.length]!(offset)

/** Commits ever higher offsets, some before the one before is answered, and looks at what is stored. */
export class Committer extends Client<CommitterOptions, ServiceDeps> implements Workload {
  readonly counts: Record<string, number> = { commits: 0, looks: 0 }
  #open = 0
  /** The highest offset that was asked to be stored, and the highest that was said to be. */
  #asked = 0
  #stored = -1
  #seen = -1
  #hasLookedLast = false

  start(): void {
    if (this.isStopped) return
    const { random } = this.deps
    if (random.between(1, 100) <= PERCENT_OF_LOOKS) this.#look()
    else this.#commit()
    setTimeout(() => this.start(), random.between(...this.options.pauseMs))
  }

  /** The last look is one at which everything is settled. */
  get isFinished(): boolean {
    if (this.#open > 0) return false
    if (!this.#hasLookedLast) this.#lookLast()
    return this.#open === 0 && this.#hasLookedLast
  }

  tryOnceMore(succeeded: () => void): void {
    this.#commit(isStored => {
      if (isStored) succeeded()
      else setTimeout(() => this.tryOnceMore(succeeded), AGAIN_MS)
    })
  }

  #lookLast(): void {
    this.deps.onHost(() => this.#look(() => (this.#hasLookedLast = true)))
  }

  #commit(then?: (isStored: boolean) => void): void {
    this.#hasLookedLast = false
    const { service, answers, random } = this.deps
    const { groupId, topic, partition } = this.options
    const offset = ++this.#asked
    const timeoutMs = random.between(...TIMEOUTS_MS)
    const answered = answers.ask(`${this.name} commits ${offset}`, timeoutMs)
    this.counts.commits!++
    this.#open++
    service.tell({
      type: 'commitConsumerOffset',
      groupId,
      topicPartition: { topic, partition },
      offsetAndMetadata: { offset, metadata: metadataOf(offset) },
      timeoutMs,
      requester: {
        reply: result => {
          if (!answered()) return
          this.#committed(offset, result)
          then?.(result.type === 'success')
        }
      }
    })
  }

  #committed(offset: number, result: CommitConsumerOffsetResult): void {
    this.#open--
    this.#count(`commit ${result.type}`)
    this.deps.trace.say(this.name, `commit ${offset}: ${result.type}`)
    if (result.type === 'superseded') this.#checkSuperseded(offset, result.supersededBy)
    if (result.type === 'success') this.#stored = Math.max(this.#stored, offset)
  }

  #look(then?: () => void): void {
    const { service, answers, random } = this.deps
    const { groupId, topic, partition } = this.options
    const timeoutMs = random.between(...TIMEOUTS_MS)
    const answered = answers.ask(`${this.name} looks`, timeoutMs)
    const atLeast = this.#stored
    this.counts.looks!++
    this.#open++
    service.tell({
      type: 'fetchConsumerOffset',
      groupId,
      topicPartition: { topic, partition },
      timeoutMs,
      requester: {
        reply: result => {
          if (answered()) this.#looked(atLeast, result, then)
        }
      }
    })
  }

  #looked(atLeast: number, result: FetchConsumerOffsetResult, then?: () => void): void {
    this.#open--
    this.#count(`look ${result.type}`)
    if (result.type !== 'success' && result.type !== 'notFound') return
    const offset = result.type === 'success' ? result.offsetAndMetadata.offset : -1
    this.deps.trace.say(this.name, `sees ${offset}`)
    if (result.type === 'success') this.#checkMetadata(result.offsetAndMetadata)
    if (offset < atLeast) this.violated('commit lost', `sees ${offset} after ${atLeast} was stored`)
    const isInvented = offset > this.#asked || offset === 0
    if (isInvented) this.violated('commit invented', `sees ${offset}, asked for 1 to ${this.#asked}`)
    // Looks may be answered in another order than they were asked, so only one at a time says something about order.
    if (then !== undefined && offset < this.#seen) this.violated('commit went back', `${offset} after ${this.#seen}`)
    this.#seen = Math.max(this.#seen, offset)
    then?.()
  }

  /** A higher one has taken its place. */
  #checkSuperseded(offset: number, by: OffsetAndMetadata): void {
    const isAsked = by.offset <= this.#asked && by.metadata === metadataOf(by.offset)
    if (by.offset <= offset || !isAsked) this.violated('commit dropped', `${offset} for ${by.offset}`)
  }

  #checkMetadata({ offset, metadata }: OffsetAndMetadata): void {
    const expected = metadataOf(offset)
    if (metadata !== expected) this.violated('commit damaged', `${offset} with ${metadata} instead of ${expected}`)
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}
