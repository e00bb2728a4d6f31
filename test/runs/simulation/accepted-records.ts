import type { Outcome } from '../../support/history-checker.js'

/** A record that a gateway has answered, whatever the answer was. */
export interface AnsweredRecord {
  readonly id: string
  /** Topic and key: records of one partition keep their order. */
  readonly producer: string
  /** Simulated milliseconds. */
  readonly sentAt: number
  /** It was accepted into memory, with nobody waiting for what becomes of it. */
  readonly isPending: boolean
}

interface End {
  readonly atMs: number
  /** Of all records that were in memory then, so many may be lost. */
  readonly mostLost: number
}

/**
 * Records that a gateway has accepted into its memory, and what may have become of them when its process ended. A
 * record that is lost may have been in memory then when it was sent before the end, and no later record of its partition
 * that the same process took is in Kafka.
 */
export class AcceptedRecords {
  /** In the order in which they were sent, within their partition. */
  readonly #producers = new Map<string, AnsweredRecord[]>()
  readonly #ends: End[] = []

  answered(record: AnsweredRecord): void {
    const producer = this.#producers.get(record.producer)
    if (producer === undefined) this.#producers.set(record.producer, [record])
    else producer.push(record)
  }

  /** The process has ended. @param mostLost records that it may have taken along */
  ended(atMs: number, mostLost = Number.POSITIVE_INFINITY): void {
    this.#ends.push({ atMs, mostLost })
  }

  /** What is known of each pending record when everything is over: `ok` where it has to be in Kafka. */
  outcomes(isInKafka: (id: string) => boolean): Map<string, Outcome> {
    const outcomes = new Map<string, Outcome>()
    const lost = new Map<End, string[]>()
    for (const producer of this.#producers.values()) {
      producer.forEach((record, index) => {
        if (!record.isPending) return
        outcomes.set(record.id, { type: 'ok' })
        const end = isInKafka(record.id) ? undefined : this.#endOf(record)
        if (end === undefined || isOvertaken(producer, index, end, isInKafka)) return
        lost.set(end, [...(lost.get(end) ?? []), record.id])
      })
    }
    for (const [{ mostLost }, ids] of lost)
      for (const id of ids.slice(0, mostLost)) outcomes.set(id, { type: 'unknown', answered: true, isAssumed: true })
    return outcomes
  }

  /** The end of the process that has taken it; undefined: that lived until everything was over. */
  #endOf({ sentAt }: AnsweredRecord): End | undefined {
    return this.#ends.find(({ atMs }) => atMs >= sentAt)
  }
}

const isOvertaken = (
  producer: readonly AnsweredRecord[],
  index: number,
  { atMs }: End,
  isInKafka: (id: string) => boolean
): boolean => producer.slice(index + 1).some(({ id, sentAt }) => sentAt <= atMs && isInKafka(id))
