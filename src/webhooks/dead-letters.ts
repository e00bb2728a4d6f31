import type { KafkaRecord, ProduceRecord } from '../core/model.js'
import type { Verbs } from '../verbs/verbs.js'

/** Long enough for a leader to move. */
const TIMEOUT_MS = 30_000

export interface DeadLetter {
  readonly webhook: string
  /** The `webhook-id` of the record. */
  readonly id: string
  readonly topic: string
  readonly partition: number
  /** The topic of dead letters. */
  readonly to: string
  /** `answer`, `attempts`, `unsendable` or `skipped`. */
  readonly reason: string
  /** The last status or cause; empty: there was no attempt. */
  readonly status: string
  readonly attempts: number
}

/** A dead letter: the record, and why it was given up. If the record is a dead letter itself, its reasons are replaced. */
export function deadLetterOf(record: KafkaRecord, letter: DeadLetter): ProduceRecord {
  const { webhook, id, topic, partition, to, reason, status, attempts } = letter
  const added = {
    'castellan-webhook': webhook,
    'castellan-reason': reason,
    'castellan-status': status,
    'castellan-attempts': attempts,
    'castellan-topic': topic,
    'castellan-partition': partition,
    'castellan-offset': record.offset,
    'castellan-webhook-id': id
  }
  const headers = Object.entries(added).map(([key, value]) => ({ key, value: Buffer.from(String(value)) }))
  const kept = record.headers.filter(({ key }) => !Object.hasOwn(added, key))
  return { topic: to, key: record.key, value: record.value, headers: [...kept, ...headers] }
}

/** @returns why it is not certain that Kafka has it; `undefined`: Kafka has it */
export async function writeDeadLetter(
  verbs: Pick<Verbs, 'produce'>,
  record: KafkaRecord,
  letter: DeadLetter
): Promise<string | undefined> {
  try {
    const pending = verbs.produce([deadLetterOf(record, letter)], { partitioner: 'murmur2', deadlineMs: TIMEOUT_MS })
    const [outcome] = await pending.outcomes()
    return outcome?.type === 'delivered' ? undefined : (outcome?.message ?? 'no outcome')
  } catch (error) {
    return String(error)
  }
}
