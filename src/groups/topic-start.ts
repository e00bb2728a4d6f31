import type { Offset } from '../model.js'
import type { CommitLookUp } from './commit-look-up.js'
import type { TopicEnds } from './start-messages.js'

/** Where a partition begins of which the group has no committed offset. */
export type Start =
  | 'latest'
  | 'earliest'
  /** `topicId`: the incarnation of the topic in whose log the offset is; another one is read from its earliest record. */
  | { readonly offset: Offset; readonly topicId: string | undefined }

/** Calls back once it is known. It may be asked again, and then say something else. */
export type FindStart = (onStart: (start: Start) => void) => void

/** What the leader has decided for one topic: it begins at these ends, or at its earliest records; `undefined`: nothing. */
export type LeadersDecision = TopicEnds | 'earliest' | undefined

/**
 * Where a member begins to read one topic. `latest` holds only until the group has begun: once a request for the topic may be
 * answered, every partition without a committed offset begins at its earliest record, because records may have been written
 * since.
 */
export class TopicStart {
  readonly #setting: 'latest' | 'earliest'
  readonly #lookUp: CommitLookUp
  #isBegun = false
  #hasCommitted = false
  #wasMissing = false
  #byLeader: LeadersDecision

  /** @param lookUp tells whether the group has a committed offset in any partition of the topic */
  constructor(setting: 'latest' | 'earliest', lookUp: CommitLookUp) {
    this.#setting = setting
    this.#lookUp = lookUp
  }

  /** Requests for the topic may be answered with messages. */
  get isBegun(): boolean {
    return this.#isBegun
  }

  /** Requests for the topic may be answered: whatever is written from now on is offered to the group. */
  get isFixed(): boolean {
    return this.#isBegun || this.#hasCommitted
  }

  /** The group has begun with the topic, or has asked for it before it existed: nothing begins at the end any more. */
  get excludesLatest(): boolean {
    return this.#isBegun || this.#wasMissing
  }

  begin(): void {
    this.#isBegun = true
  }

  /** The topic is given up. */
  stop(): void {
    this.#lookUp.stop()
  }

  /** The topic did not exist when it was asked for. */
  missing(): void {
    this.#wasMissing = true
  }

  /** Calls back when the group has a committed offset in the topic, so that only its other partitions are open. */
  whenCommitted(onFixed: () => void): void {
    this.#lookUp.hasCommitted(has => {
      this.#hasCommitted = has
      if (has) onFixed()
    })
  }

  /** What the leader has decided for the present generation. */
  decided(byLeader: LeadersDecision): void {
    this.#byLeader = byLeader
  }

  /** Where a partition of the topic begins. */
  find(partition: number, onStart: (start: Start) => void): void {
    const byLeader = this.#byLeader
    if (this.#setting === 'earliest' || byLeader === 'earliest' || this.#wasMissing) onStart('earliest')
    else if (byLeader) {
      const offset = byLeader.offsets.get(partition)
      onStart(offset === undefined ? 'earliest' : { offset, topicId: byLeader.topicId })
    } else if (this.#isBegun) onStart('earliest')
    else this.#lookUp.hasCommitted(has => onStart(has || this.#isBegun ? 'earliest' : 'latest'))
  }
}
