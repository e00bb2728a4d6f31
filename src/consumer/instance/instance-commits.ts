import { addTo } from '../../core/maps.js'
import { type Offset, type TopicPartition, topicPartitionKey } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { AS_STORED, type Failure, type GroupMembership } from '../../router/messages/operations.js'
import { kafkaFailure, ownFailure } from '../../router/requests/failures.js'
import { askForEach } from '../../router/routing/ask-router.js'
import type { GroupRuntime, Timer } from '../group/group-runtime.js'
import { fencingCodes } from '../group/offset-committer.js'
import type { InstanceOffset } from './instances.js'

/** Time limit of commits and look-ups that a client waits for. */
export const TIMEOUT_MS = 10_000
/** How often a commit is repeated that another reader of the group has replaced. */
const MAX_REPETITIONS = 3

/** An offset to commit, and the leader epoch of the records before it. */
export interface OffsetToCommit extends InstanceOffset {
  readonly leaderEpoch?: number | undefined
}

export interface InstanceCommitsOptions {
  readonly runtime: GroupRuntime
  /** Calls back in a later tick of the actor. */
  readonly tick: (run: () => void) => void
  readonly retryBackoffMs: number
  /** Asked before a commit without a member: Kafka cannot know who has the instance. */
  readonly confirm?: (() => Promise<Failure | undefined>) | undefined
  /** Called when Kafka has an offset. */
  readonly onStored: (topicPartition: TopicPartition, offset: Offset) => void
  /** Called when the coordinator excludes the member that has committed. */
  readonly onFenced: (errorCode: number, member: GroupMembership) => void
}

type CommitDone = (failure: Failure | undefined) => void

/** A commit for one partition that is not answered. */
interface PendingCommit {
  readonly stored: OffsetToCommit
  readonly member: GroupMembership | undefined
  readonly done: CommitDone[]
  repetitions: number
}

/**
 * The commits of one instance. The Router sends those of one partition one after another, and drops a waiting commit when
 * another one comes. Such a commit has the outcome of the later one if it is of this instance. Otherwise it is repeated,
 * because a member that was excluded may have sent the other one in vain.
 */
export class InstanceCommits {
  readonly #options: InstanceCommitsOptions
  /** Open commits by partition, in the order in which they were made. */
  readonly #open = new Map<string, PendingCommit[]>()
  readonly #pauses = new Set<Timer>()
  /** Resolves when the commits before are confirmed: a later one is not sent before them. */
  #confirmed: Promise<unknown> = Promise.resolve()
  /** Number of commits that are not answered. */
  #unanswered = 0
  #whenIdle: (() => void)[] = []

  constructor(options: InstanceCommitsOptions) {
    this.#options = options
  }

  /** Commits offsets. Calls back with the first failure, or `undefined` when Kafka has all of them. */
  store(offsets: readonly OffsetToCommit[], member: GroupMembership | undefined, done: CommitDone): void {
    const { confirm, tick } = this.#options
    this.#unanswered++
    const answered: CommitDone = failure => {
      done(failure)
      if (--this.#unanswered === 0) for (const run of this.#whenIdle.splice(0)) run()
    }
    if (member || !confirm || offsets.length === 0) this.#store(offsets, member, answered)
    else
      this.#confirmed = this.#confirmed
        .then(confirm)
        .then(refusal => tick(() => (refusal ? answered(refusal) : this.#store(offsets, member, answered))))
  }

  /** Calls back when no commit is on its way. */
  whenIdle(run: () => void): void {
    if (this.#unanswered === 0) run()
    else this.#whenIdle.push(run)
  }

  #store(offsets: readonly OffsetToCommit[], member: GroupMembership | undefined, done: CommitDone): void {
    let failure: Failure | undefined
    askForEach(
      offsets,
      (stored, answered) => {
        const ended: CommitDone = problem => {
          failure ??= problem
          answered()
        }
        const commit = { stored, member, done: [ended], repetitions: 0 }
        addTo(this.#open, keyOf(stored), commit)
        this.#send(commit)
      },
      () => done(failure)
    )
  }

  stop(): void {
    for (const pause of this.#pauses) pause.cancel()
    this.#pauses.clear()
  }

  #send(commit: PendingCommit): void {
    const { runtime, onStored, onFenced } = this.#options
    const { stored, member } = commit
    const { topic, partition, ...offsetAndMetadata } = stored
    const topicPartition = { topic, partition }
    const request = { groupId: runtime.groupId, topicPartition, offsetAndMetadata, member, ...AS_STORED }
    runtime.ask('commitConsumerOffset', { ...request, replacesWaiting: true, timeoutMs: TIMEOUT_MS }, result => {
      switch (result.type) {
        case 'superseded':
          this.#superseded(commit)
          break
        case 'success':
          onStored(topicPartition, stored.offset)
          this.#end(commit, undefined)
          break
        case 'failed':
          if (member && fencingCodes.has(result.errorCode)) onFenced(result.errorCode!, member)
          this.#end(commit, result)
          break
        case 'timedOut':
          this.#end(commit, late('the commit'))
          break
        case 'unknownTopicOrPartition':
          this.#end(commit, kafkaFailure(errorCodes.UNKNOWN_TOPIC_OR_PARTITION))
      }
    })
  }

  #superseded(commit: PendingCommit): void {
    const { runtime, retryBackoffMs } = this.#options
    const latest = this.#open.get(keyOf(commit.stored))!.at(-1)!
    if (latest !== commit) {
      latest.done.push(...commit.done.splice(0))
      this.#end(commit, undefined)
    } else if (++commit.repetitions > MAX_REPETITIONS)
      this.#end(commit, ownFailure('overloaded', 'other commits of the group have replaced this one', true))
    else {
      const pause = runtime.after(retryBackoffMs, () => {
        this.#pauses.delete(pause)
        this.#send(commit)
      })
      this.#pauses.add(pause)
    }
  }

  #end(commit: PendingCommit, problem: Failure | undefined): void {
    const key = keyOf(commit.stored)
    const others = this.#open.get(key)!.filter(one => one !== commit)
    if (others.length > 0) this.#open.set(key, others)
    else this.#open.delete(key)
    for (const done of commit.done) done(problem)
  }
}

export const keyOf = ({ topic, partition }: TopicPartition): string => topicPartitionKey(topic, partition)

export const late = (what: string): Failure => ownFailure('timedOut', `${what} was not answered in time`, true)
