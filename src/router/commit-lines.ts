import type { CommitConsumerOffset } from '../operations.js'
import type { Accepted } from '../processors/accepted.js'
import { reply } from '../processors/answers.js'

type Commit = Accepted<'commitConsumerOffset'>

/** The commits of one group and partition. */
interface Line {
  readonly key: string
  /** The only one that may be at a broker, or on its way to one. */
  first: Commit
  /** Comes after it; a later one takes its place. May have been answered meanwhile, by its deadline. */
  next: Commit | undefined
}

/** What a commit has to do: go to its coordinator, wait for the one before it, or nothing, since it has its answer. */
type Fate = 'go' | 'wait' | 'answered'

/**
 * Lets the commits of one group and partition go to Kafka one after another, so that the last one that was accepted is
 * what stays stored, whatever happens to the others: nothing is sent while an earlier one is on its way, and nothing is
 * sent again once a later one waits.
 *
 *   billing orders/0   first: 100 (on its way)   next: 250
 *
 * Of commits that were never sent the highest offset waits, as in Castle, and whoever asked for the same or a lower one
 * is told what took its place. A commit that was sent and has to be sent again yields to any later one. So a reader goes
 * back by committing a lower offset once the higher one has its answer, or is on its way.
 */
export class CommitLines {
  readonly #lines = new Map<string, Line>()
  readonly #onTurn: (key: string) => void

  /** @param onTurn told when what waits in a line may enter it again; from anywhere, so it must not route by itself */
  constructor(onTurn: (key: string) => void) {
    this.#onTurn = onTurn
  }

  /** Lines with a commit in them. */
  get size(): number {
    return this.#lines.size
  }

  /** Takes a commit in, or back. */
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
    else if (line.first.wasSent || offsetOf(commit) > offsetOf(line.first)) this.#replaceFirst(line, commit)
    else return supersede(commit, line.first)
    return 'go'
  }

  /** Whether a commit that has to be sent again yields to a later one. It then has its answer. */
  yields(commit: Commit): boolean {
    const line = this.#lines.get(lineKey(commit.request))
    if (line?.first !== commit || !isOpen(line.next)) return false
    supersede(commit, line.next)
    return true
  }

  #join(line: Line, next: Commit, commit: Commit): Fate {
    if (offsetOf(commit) <= offsetOf(next)) return supersede(commit, next)
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

  /** One of its commits has its answer, and no call carries it any more. */
  #ended(line: Line): void {
    if (!isOver(line.first)) return
    if (isOpen(line.next)) this.#onTurn(line.key)
    else if (this.#lines.get(line.key) === line) this.#lines.delete(line.key)
  }
}

const offsetOf = ({ request }: Commit): number => request.offsetAndMetadata.offset
const isOpen = (commit: Commit | undefined): commit is Commit => commit?.settled === false
const isOver = ({ settled, inFlight }: Commit): boolean => settled && !inFlight

function supersede(commit: Commit, by: Commit): 'answered' {
  reply(commit, { type: 'superseded', supersededBy: by.request.offsetAndMetadata })
  return 'answered'
}

/** The length keeps apart what would read the same: groups may have any character in their names. */
export const lineKey = ({ groupId, topicPartition: { topic, partition } }: CommitConsumerOffset): string =>
  `${groupId.length} ${groupId} ${topic}/${partition}`
