import type { CommitConsumerOffset } from '../messages/operations.js'
import type { Commit } from '../processors/commit-consumer-offset.js'
import { reply } from '../requests/open-requests.js'

interface Line {
  readonly key: string
  /** The only commit of this group and partition that may have been sent to a broker. */
  first: Commit
  /**
   * The commit to send after `first`. A later commit replaces it. It may already have been answered at its deadline.
   */
  next: Commit | undefined
}

/** The next step of a commit: it is sent to its coordinator, waits for the commit before it, or has been answered. */
type Fate = 'go' | 'wait' | 'answered'

/**
 * Sends the commits of one group and partition to Kafka one after another, so that the last accepted commit stays
 * stored. No commit is sent while an earlier one is in flight. A commit is not sent again when a later one waits.
 *
 *   billing orders/0   first: 100 (on its way)   next: 250
 *
 * Of several commits that have not been sent, only the commit with the highest offset waits, as in Castle. The others
 * are answered `superseded`. A commit that has to be sent again yields to any later commit. So a reader that wants to
 * go back commits a lower offset when the higher commit is in flight or answered, or sets `replacesWaiting`.
 */
export class CommitOrder {
  readonly #lines = new Map<string, Line>()
  readonly #onTurn: (key: string) => void

  /**
   * @param onTurn called with the key of a group and partition whose waiting commit may enter again. The call may come in
   *   the middle of other work, so this function must not route requests
   */
  constructor(onTurn: (key: string) => void) {
    this.#onTurn = onTurn
  }

  /** Number of groups and partitions that have a commit. */
  get size(): number {
    return this.#lines.size
  }

  /** Takes a new commit, or a commit that a broker could not answer. */
  enter(commit: Commit): Fate {
    const key = lineKey(commit.request)
    const line = this.#lines.get(key)
    if (!line) {
      this.#lines.set(key, this.#lead({ key, first: commit, next: undefined }, commit))
      return 'go'
    }
    if (line.first === commit) return 'go'
    if (line.next !== commit && isOpen(line.next)) return this.#join(line, line.next, commit)
    if (isOver(line.first)) this.#lead(line, commit)
    else if (line.first.state.inFlight) return this.#follow(line, commit)
    else if (line.first.state.wasSent || replaces(commit, line.first)) this.#replaceFirst(line, commit)
    else return supersede(commit, line.first)
    return 'go'
  }

  /** Called for a commit that has to be sent again. If a later commit waits, answers this commit and returns true. */
  yields(commit: Commit): boolean {
    const line = this.#lines.get(lineKey(commit.request))
    if (line?.first !== commit || !isOpen(line.next)) return false
    supersede(commit, line.next)
    return true
  }

  #join(line: Line, next: Commit, commit: Commit): Fate {
    if (!replaces(commit, next)) return supersede(commit, next)
    const fate = this.#follow(line, commit)
    supersede(next, commit)
    return fate
  }

  #follow(line: Line, commit: Commit): Fate {
    line.next = commit
    commit.state.whenOver = () => this.#ended(line)
    return 'wait'
  }

  #replaceFirst(line: Line, commit: Commit): void {
    const { first } = line
    this.#lead(line, commit)
    supersede(first, commit)
  }

  #lead(line: Line, commit: Commit): Line {
    line.first = commit
    if (line.next === commit) line.next = undefined
    commit.state.whenOver = () => this.#ended(line)
    return line
  }

  /** Called when a commit of the line has been answered and is no longer in flight. */
  #ended(line: Line): void {
    if (!isOver(line.first)) return
    if (isOpen(line.next)) this.#onTurn(line.key)
    else if (this.#lines.get(line.key) === line) this.#lines.delete(line.key)
  }
}

const offsetOf = ({ request }: Commit): number => request.offsetAndMetadata.offset
const replaces = (commit: Commit, waiting: Commit): boolean =>
  commit.request.replacesWaiting === true || offsetOf(commit) > offsetOf(waiting)
const isOpen = (commit: Commit | undefined): commit is Commit => commit?.settled === false
const isOver = ({ settled, state }: Commit): boolean => settled && !state.inFlight

function supersede(commit: Commit, by: Commit): 'answered' {
  reply(commit, { type: 'superseded', supersededBy: by.request.offsetAndMetadata })
  return 'answered'
}

/** The key of a line. Group ids may contain any character, so the key starts with their length to be unique. */
export const lineKey = ({ groupId, topicPartition: { topic, partition } }: CommitConsumerOffset): string =>
  `${groupId.length} ${groupId} ${topic}/${partition}`
