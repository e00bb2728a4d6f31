import { gunzipSync, gzipSync } from 'node:zlib'
import { z } from 'zod'
import type { TopicPartition } from '../../core/model.js'
import type { InstanceName, InstanceSettings } from './instances.js'

/** Larger states are compressed, because Kafka limits the size of a record: 10,000 partitions are about 1 MB of text. */
const MAX_PLAIN_BYTES = 64 * 1024
/** Limit of a state that was compressed. */
const MAX_STATE_BYTES = 16 * 1024 * 1024
/** The first byte of compressed data, with which no JSON begins. */
const GZIP = 0x1f

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

/** What another process needs to continue an instance from the committed offsets of its group. */
export interface StoredInstance {
  readonly settings: InstanceSettings
  /** Whose share of the places for instances it has. */
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

/** @returns `undefined`: the key is not that of an instance */
export function instanceOfKey(key: Buffer): InstanceName | undefined {
  const [groupId, name, ...others] = jsonOf(key, z.array(z.string())) ?? []
  return groupId === undefined || name === undefined || others.length > 0 ? undefined : { groupId, name }
}

export function bytesOfInstance(stored: StoredInstance): Buffer {
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
