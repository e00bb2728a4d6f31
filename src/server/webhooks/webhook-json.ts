import { z } from 'zod'
import { isoOf } from '../../core/instants.js'
import type { WebhookPartition } from '../../webhooks/webhook-status.js'
import type { ToldWebhook } from '../../webhooks/webhooks-of-all.js'

const text = z.string()
const time = text.describe('ISO 8601')
const partition = z.int()
const offset = z.int()

const partitionSchema = z.object({
  partition,
  position: offset.describe('all records below are done'),
  open: z.int().describe('records that were read and are not done'),
  parked: z.int().describe('those of them that wait for another one of their key'),
  stalled: z.boolean().describe('nothing more is read, since too many are open'),
  oldest: z
    .object({
      offset,
      timestamp: time.nullable().describe('null: it is in no year from 0000 to 9999'),
      attempts: z.int().describe('of this gateway'),
      nextAttempt: time.nullable().describe('null: it is under way, or waits for another one'),
      key: text.nullable().optional().describe('base64; only for those who may consume, and where it is in memory')
    })
    .nullable()
})

/** A row of the list: a webhook at one gateway. */
const summaryShape = {
  gateway: text.describe('id of a gateway; `this`: there are no others'),
  state: z.enum(['running', 'waiting', 'paused', 'gone', 'broken']),
  because: text.nullable().describe('why it is broken'),
  failingSince: time.nullable(),
  deadLettersStopped: z.boolean(),
  foreignMember: z.boolean(),
  sendsAborted: z.boolean().describe('records of aborted transactions are sent'),
  open: z.int(),
  stalledPartitions: z.array(partition),
  inFlight: z.int(),
  window: z.int(),
  pausedUntil: time.nullable(),
  deadLetters: z.int(),
  skipped: z.int(),
  lost: z.int()
}

const attemptSchema = z.object({
  id: text,
  partition,
  offset,
  attempt: z.int(),
  answer: z.union([z.int(), text]).describe('status, or cause'),
  ms: z.int(),
  at: time
})

export const namedShape = {
  name: text,
  cluster: text,
  topic: text,
  group: text,
  url: text.describe('its origin')
}

export const summarySchema = z.object(summaryShape)
export const gatewaySchema = z.object({
  ...summaryShape,
  partitions: z.array(partitionSchema),
  attempts: z.array(attemptSchema).describe('the last 20, newest first')
})

/** @param at a time that this gateway has made, or another one whose answers are checked */
const timeOf = (at: number): string => isoOf(at)!
const timeOrNull = (at: number | undefined): string | null => (at === undefined ? null : timeOf(at))

export function summaryOf({ gateway, status }: ToldWebhook): z.output<typeof summarySchema> {
  const { state, because = null, deadLettersStopped, foreignMember, sendsAborted, inFlight, window } = status
  const { deadLetters, skipped, lost } = status.totals
  return {
    gateway,
    state,
    because,
    failingSince: timeOrNull(status.failingSince),
    deadLettersStopped,
    foreignMember,
    sendsAborted,
    open: status.partitions.reduce((sum, { open }) => sum + open, 0),
    stalledPartitions: status.partitions.flatMap(({ partition, isStalled }) => (isStalled ? [partition] : [])),
    inFlight,
    window,
    pausedUntil: timeOrNull(status.pausedUntil),
    deadLetters,
    skipped,
    lost
  }
}

/** @param showsKeys the client may consume the topic */
export function gatewayOf(told: ToldWebhook, showsKeys: boolean): z.output<typeof gatewaySchema> {
  const { partitions, attempts } = told.status
  return {
    ...summaryOf(told),
    partitions: partitions.map(one => partitionOf(one, showsKeys)),
    attempts: attempts.map(({ at, ms, ...attempt }) => ({ ...attempt, ms: Math.round(ms), at: timeOf(at) }))
  }
}

function partitionOf(
  { partition, position, open, parked, isStalled: stalled, oldest }: WebhookPartition,
  showsKeys: boolean
): z.output<typeof partitionSchema> {
  const row = { partition, position, open, parked, stalled }
  if (oldest === undefined) return { ...row, oldest: null }
  const { key } = oldest
  return {
    ...row,
    oldest: {
      offset: oldest.offset,
      timestamp: isoOf(oldest.timestampMs),
      attempts: oldest.attempts,
      nextAttempt: timeOrNull(oldest.nextAttemptAt),
      ...(showsKeys && key !== undefined && { key: key === null ? null : Buffer.from(key).toString('base64') })
    }
  }
}
