import { z } from 'zod'

/** A record that a client looks for. */
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
      timestamp: z.number().optional().describe('Epoch milliseconds'),
      valueBytes: z.int().nullable().optional().describe('The size of the value; null: it has none')
    })
  ),
  searched: z.array(
    z.object({
      partition: z.int(),
      from: z.int(),
      to: z.int().describe('The last offset that was looked at'),
      records: z.int(),
      isWhole: z.boolean().describe('No other record is in the partition')
    })
  ),
  notSearched: z.int().describe('Partitions of the topic that were not looked at')
})

export type FoundRecords = z.output<typeof foundRecords>
