import { type Judged, RANKS, type Row } from './judged.js'
import type { Trouble } from './status.js'
import { troubleOfGroups } from './trouble-of-groups.js'
import { troubleOfKafka } from './trouble-of-kafka.js'
import { troubleOfLosses } from './trouble-of-losses.js'
import { troubleOfProcess } from './trouble-of-process.js'
import { troubleOfStorage } from './trouble-of-storage.js'
import { troubleOfTopics } from './trouble-of-topics.js'

/** Rows of an answer at most; a reader who has them has enough to do. */
const MAX_TROUBLE = 100
/** Causes stand before their effects, so that many topics must not push everything else off the list. */
const MAX_OF_TOPICS = 60

/** Everything that is wrong, worst first, each with its cause and the next step. */
export function troubleOf(status: Judged): Trouble[] {
  const rows: Row[] = [
    ...troubleOfKafka(status),
    ...troubleOfTopics(status).sort(byWeight).slice(0, MAX_OF_TOPICS),
    ...troubleOfStorage(status),
    ...troubleOfLosses(status),
    ...troubleOfGroups(status),
    ...troubleOfProcess(status)
  ]
  return rows.sort(byWeight).slice(0, MAX_TROUBLE)
}

const rankOf = ({ severity, kind }: Row): number => (severity === 'bad' ? 0 : RANKS.length) + RANKS.indexOf(kind)

const byWeight = (one: Row, other: Row): number =>
  rankOf(one) - rankOf(other) || (one.subject < other.subject ? -1 : one.subject > other.subject ? 1 : 0)
