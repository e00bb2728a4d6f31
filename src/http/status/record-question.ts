import { z } from 'zod'
import type { Status } from './status.js'
import { agoText, countOf, countText } from './units.js'

export const recordQuestion = z.discriminatedUnion('by', [
  z.strictObject({
    by: z.literal('key'),
    topic: z.string().min(1).max(249),
    key: z
      .string()
      .max(65_536)
      .describe('As text in UTF-8. It is looked for as JSON, too: with quotes, or without those that it has'),
    cluster: z.string().optional().describe('Default: `default`')
  }),
  z.strictObject({ by: z.literal('receipt'), receipt: z.string().min(1).max(4_096) })
])

export type RecordQuestion = z.output<typeof recordQuestion>

export const foundRecords = z.object({
  verdict: z
    .enum(['yes', 'no', 'notFound', 'pending', 'unknown'])
    .describe('`notFound`: not among the records that were looked at; `pending`: it waits in the durable log'),
  message: z.string(),
  caveat: z
    .string()
    .optional()
    .describe(
      'Why a newer record with this key may not be in Kafka: records of its topic wait, are refused or are lost'
    ),
  records: z.array(
    z.object({
      partition: z.int(),
      offset: z.int(),
      timestamp: z
        .number()
        .optional()
        .describe('Epoch milliseconds, as in Kafka; absent: it is below 0, or a number does not have it exactly'),
      valueBytes: z.int().nullable().optional().describe('The size of the value; null: it has none')
    })
  ),
  searched: z.array(
    z.object({
      partition: z.int(),
      from: z.int(),
      to: z.int().describe('The last offset that was looked at'),
      records: z.int(),
      bytes: z.int().describe('Of the batches that were read'),
      isWhole: z.boolean().describe('No other record is in the partition')
    })
  ),
  notSearched: z.int().describe('Partitions of the topic that were not looked at')
})

/** The client that asks. */
export interface RecordAsker {
  /** The name of the client, in which its receipts were given. */
  readonly principal: string
  /** The client to which the work of the search is counted: clients take turns. `undefined`: it came by a unix socket. */
  readonly client: string | undefined
}

/** Is told how many records, and bytes of batches, were read from Kafka. */
export type OnRead = (records: number, bytes: number) => void

export type FoundRecords = z.output<typeof foundRecords>

/** The longest time for which records of a topic that flows are on their way. */
const ON_ITS_WAY_MS = 1_000

/**
 * Adds to the answer about a key what is not in Kafka: records of its topic that wait in the gateway, that Kafka refuses,
 * or that are lost. Any of them may have the key.
 */
export function withCaveat(found: FoundRecords, question: RecordQuestion, status: Status): FoundRecords {
  if (question.by === 'receipt') return found
  const { topic, cluster = 'default' } = question
  const isAsked = (one: { topic?: string | undefined; cluster: string }): boolean =>
    one.topic === topic && one.cluster === cluster
  const { topics } = status
  const { state, refusal, troubled: [first] = [], memory, log } = topics.rows.find(isAsked) ?? {}
  const texts: string[] = []
  if (state === 'refused')
    texts.push(`Kafka refuses records of this topic now: ${refusal?.message ?? 'not authorized'}.`)
  if (state === 'stuck' && first !== undefined) {
    const why = first.message ?? (first.leader === -1 ? 'a partition has no leader' : 'it does not acknowledge them')
    texts.push(`Kafka does not take records of this topic now: ${why}.`)
  }
  const waiting = (memory?.records ?? 0) + (log?.records ?? 0)
  const isFound = found.verdict === 'yes'
  const isOnItsWay = state === 'flowing' && memory !== undefined && memory.oldestAgeMs < ON_ITS_WAY_MS
  if (waiting > 0 && !(isFound && isOnItsWay)) {
    const wait = `${countOf(waiting, 'record')} of topic ${topic} ${waiting === 1 ? 'waits' : 'wait'} in the gateway`
    const newer = 'a newer record with this key may not be in Kafka yet.'
    texts.push(`${wait}: ${isFound ? newer : 'the record may still come. Do not send it again yet.'}`)
  }
  const losses = status.losses.filter(isAsked)
  if (losses.length > 0) {
    const records = losses.reduce((sum, row) => sum + row.records, 0)
    const last = agoText(Math.min(...losses.map(({ lastAgoMs }) => lastAgoMs)))
    const lost = `${countOf(records, 'accepted record')} of topic ${topic} ${records === 1 ? 'is' : 'are'} lost`
    texts.push(`${lost}, the last one ${last}: a record with this key may be among them.`)
  }
  const leftOut = topics.total - topics.rows.length
  if (state === undefined && leftOut > 0)
    texts.push(`Records of ${countText(leftOut)} more topics wait in the gateway; this one may be among them.`)
  return texts.length === 0 ? found : { ...found, caveat: texts.join(' ') }
}
