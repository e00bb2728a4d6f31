import type { CommitConsumerOffset } from '../messages/operations.js'
import type { Accepted } from '../requests/accepted.js'
import { reply } from '../requests/answers.js'

type Commit = Accepted<'commitConsumerOffset'>

/** The commits of one group and partition. */
interface Line {
  readonly key: string
  /** The only one that may be at a broker, or on its way to one. */
  first: Commit
  /** Sent after the first. A later commit replaces it. It may already have been answered, because its time was up. */
  next: Commit | undefined
}

/** What happens to a commit: it goes to its coordinator, it waits for the one before it, or it has been answered. */
type Fate = 'go' | 'wait' | 'answered'

/**
 * Sends the commits of one group and partition to Kafka one after another, so that the last accepted one is what stays
 * stored. No commit is sent while an earlier one is in flight, and none is sent again once a later one waits.
 *
 *   billing orders/0   first: 100 (on its way)   next: 250
 *
 * Of several commits that have not been sent, only the one with the highest offset waits, as in Castle; the others are
 * answered `superseded`. A commit that would have to be sent again yields to any later one. So a reader that wants to go
 * back commits a lower offset once the higher one is in flight or answered, or asks for its commit to replace those that wait.
 */
export class CommitOrder {
  readonly #lines = new Map<string, Line>()
  readonly #onTurn: (key: string) => void

  /** @param onTurn called when the waiting commit of a line may enter again. It may be called from anywhere, so it must not route */
  constructor(onTurn: (key: string) => void) {
    this.#onTurn = onTurn
  }

  /** Lines that hold a commit. */
  get size(): number {
    return this.#lines.size
  }

  /** Takes a commit that is new, or one that came back from a broker. */
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
    else if (line.first.inFlight) return this.#follow(line, commit)
    else if (line.first.wasSent || replaces(commit, line.first)) this.#replaceFirst(line, commit)
    else return supersede(commit, line.first)
    return 'go'
  }

  /** True when a commit that would have to be sent again gives way to a later one; it has then been answered. */
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
    commit.whenOver = () => this.#ended(line)
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
    commit.whenOver = () => this.#ended(line)
    return line
  }

  /** One of its commits has been answered and is not in flight any more. */
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
const isOver = ({ settled, inFlight }: Commit): boolean => settled && !inFlight

function supersede(commit: Commit, by: Commit): 'answered' {
  reply(commit, { type: 'superseded', supersededBy: by.request.offsetAndMetadata })
  return 'answered'
}

/** Group ids may contain any character, so the length in front keeps different lines apart. */
export const lineKey = ({ groupId, topicPartition: { topic, partition } }: CommitConsumerOffset): string =>
  `${groupId.length} ${groupId} ${topic}/${partition}`
