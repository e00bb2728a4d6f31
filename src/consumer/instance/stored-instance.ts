import { gunzipSync, gzipSync } from 'node:zlib'
import { z } from 'zod'
import type { KafkaRecord, Offset, ProduceRecord, TopicPartition } from '../../core/model.js'
import type { InstanceName, InstanceSettings } from './instances.js'

/** Larger states are compressed, because Kafka limits the size of a record: 10,000 partitions are about 1 MB of text. */
const MAX_PLAIN_BYTES = 64 * 1024
/** Limit of a state that was compressed. */
const MAX_STATE_BYTES = 16 * 1024 * 1024
/** The first byte of compressed data, with which no JSON begins. */
const GZIP = 0x1f

const FORMAT = '2'
/** Records of earlier builds have format 1, with members and headers more that are not read. */
const FORMATS = new Set([FORMAT, '1'])

const storedInstance = z.object({
  settings: z.object({
    api: z.string(),
    format: z.string(),
    start: z.enum(['earliest', 'latest', 'none']),
    autoCommitMs: z.number().optional(),
    minBytes: z.number().optional(),
    maxWaitMs: z.number(),
    maxBytes: z.number(),
    idleMs: z.number().optional()
  }),
  client: z.string().optional(),
  topics: z
    .union([
      z.object({ topics: z.array(z.string()) }),
      z.object({ pattern: z.string(), allowed: z.array(z.string()).optional() })
    ])
    .optional(),
  assigned: z.array(z.object({ topic: z.string(), partition: z.int().nonnegative() }))
})

/** The state that lets another process continue an instance from the committed offsets of its group. */
export interface StoredInstance {
  readonly settings: InstanceSettings
  /** The client to whose share of the instances it counts. */
  readonly client?: string | undefined
  /** The subscription. `allowed`: of the topics that match, the client may read these; absent: all. */
  readonly topics?: StoredTopics | undefined
  /** The partitions that were assigned by the client. */
  readonly assigned: readonly TopicPartition[]
}
export type StoredTopics =
  | { readonly topics: readonly string[] }
  | { readonly pattern: string; readonly allowed?: readonly string[] | undefined }

export const keyOfInstance = ({ groupId, name }: InstanceName): string => JSON.stringify([groupId, name])
export function instanceOfKey(key: string): InstanceName {
  const [groupId, name]: [string, string] = JSON.parse(key)
  return { groupId, name }
}

/** The content of a record about an instance. */
export interface KnownInstance {
  readonly instance: InstanceName
  readonly offset: Offset
  /** The process that has written it. */
  readonly owner: string
  /** The offset up to which that process had read. No number: an earlier build has written the record. */
  readonly after: Offset
  /** `null`: it was removed. */
  readonly value: Buffer | null
}

export type UnplacedRecord = Pick<ProduceRecord, 'key' | 'value' | 'headers'>

/** The process of an instance writes its state again before so many idle times are over. */
export const IDLE_TIMES = 1.25

/** @param stored `null`: the instance is removed */
export function instanceRecordOf(
  instance: InstanceName,
  stored: StoredInstance | null,
  { owner, after }: Pick<KnownInstance, 'owner' | 'after'>,
  nowMs: number
): UnplacedRecord {
  const { idleMs = Number.POSITIVE_INFINITY } = stored?.settings ?? { idleMs: 0 }
  // Release 0.2.0 reads this: there, an instance ends by the clock of each machine.
  const expires = Math.min(Math.ceil(nowMs + IDLE_TIMES * idleMs), Number.MAX_SAFE_INTEGER)
  const texts = { format: FORMAT, owner, after: String(after), expires: String(expires) }
  const headers = Object.entries(texts).map(([key, text]) => ({ key, value: Buffer.from(text) }))
  return { key: Buffer.from(keyOfInstance(instance)), value: stored && bytesOfInstance(stored), headers }
}

/** @returns `undefined`: the record is not that of an instance */
export function readInstanceRecord({ key, value, headers, offset }: KafkaRecord): KnownInstance | undefined {
  const text = (name: string): string => headers.find(header => header.key === name)?.value?.toString() ?? ''
  const [groupId, name, ...others] = (key && jsonOf(key, z.array(z.string()))) ?? []
  if (groupId === undefined || name === undefined || others.length > 0 || !FORMATS.has(text('format'))) return undefined
  const copy = value && Buffer.from(value)
  return {
    instance: { groupId, name },
    offset,
    owner: text('owner'),
    after: Number(text('after') || Number.NaN),
    value: copy
  }
}

/** Whether a record counts instead of `last`: its process knew all that others had written before it. */
export function follows({ owner, after }: KnownInstance, last: KnownInstance | undefined): boolean {
  const isBehind = last !== undefined && last.offset > after
  return !isBehind || (owner === last.owner && after >= last.after)
}

function bytesOfInstance(stored: StoredInstance): Buffer {
  const text = Buffer.from(JSON.stringify(stored))
  return text.length > MAX_PLAIN_BYTES ? gzipSync(text) : text
}

/** Members that earlier builds have written, such as positions, are left out. @returns `undefined`: it is no state */
export function instanceOfBytes(value: Buffer): StoredInstance | undefined {
  const stored = jsonOf(value, storedInstance)
  if (!stored) return undefined
  const { autoCommitMs, minBytes, idleMs } = stored.settings
  return { ...stored, settings: { ...stored.settings, autoCommitMs, minBytes, idleMs } }
}

function jsonOf<Value>(bytes: Buffer, schema: z.ZodType<Value>): Value | undefined {
  try {
    const text = bytes[0] === GZIP ? gunzipSync(bytes, { maxOutputLength: MAX_STATE_BYTES }) : bytes
    return schema.safeParse(JSON.parse(text.toString())).data
  } catch {
    return undefined
  }
}
