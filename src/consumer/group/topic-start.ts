import type { LogPosition } from '../../core/model.js'
import type { CommitLookUp } from './commit-look-up.js'
import type { TopicEnds } from './start-messages.js'

/** Where a partition begins of which the group has no committed offset. */
export type Start =
  | 'latest'
  | 'earliest'
  /** `topicId`: the incarnation of the topic in whose log the offset is; another one is read from its earliest record. */
  | (LogPosition & { readonly topicId: string | undefined })

/** Calls back once it is known. It may be asked again, and then say something else. */
export type FindStart = (onStart: (start: Start) => void) => void

/** What the leader has decided for one topic: it begins at these ends, or at its earliest records; `undefined`: nothing. */
export type LeadersDecision = TopicEnds | 'earliest' | undefined

/**
 * Where a member begins to read one topic. `latest` holds only until the group has begun: once a request for the topic may be
 * answered, every partition without a committed offset begins at its earliest record, because records may have been written
 * since. That holds after commits are gone, which Kafka deletes with their topic. With `earliest` it holds from the outset.
 */
export class TopicStart {
  readonly #setting: 'latest' | 'earliest'
  readonly #lookUp: CommitLookUp
  #isBegun = false
  /** The group had a committed offset in the topic while joining took long, so requests may be answered. */
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
    return this.#setting === 'earliest' || this.#isBegun || this.#hasCommitted
  }

  /** Requests may be answered, or the group has asked for the topic before it existed: nothing begins at the end any more. */
  get excludesLatest(): boolean {
    return this.isFixed || this.#wasMissing
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
    this.#lookUp.hasBegun(begun => {
      this.#hasCommitted = begun === 'yes'
      if (this.#hasCommitted) onFixed()
    })
  }

  /**
   * What the leader has decided for the present generation. It knows what the member told when it joined: a request that was
   * answered since may be followed by records before the ends that the leader has found.
   */
  decided(byLeader: LeadersDecision): void {
    this.#byLeader = this.#hasCommitted ? 'earliest' : byLeader
  }

  /** Where a partition of the topic begins. */
  find(partition: number, onStart: (start: Start) => void): void {
    const byLeader = this.#byLeader
    if (this.#setting === 'earliest' || byLeader === 'earliest' || this.#wasMissing) onStart('earliest')
    else if (byLeader) {
      const end = byLeader.ends.get(partition)
      onStart(end === undefined ? 'earliest' : { ...end, topicId: byLeader.topicId })
    } else if (this.isFixed) onStart('earliest')
    // Where it stays unclear, old records are offered rather than none of those that were written for the group.
    else this.#lookUp.hasBegun(begun => onStart(begun !== 'no' || this.isFixed ? 'earliest' : 'latest'))
  }
}
