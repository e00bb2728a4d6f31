import { z } from 'zod'
import { decodeBase64 } from '../../core/base64.js'
import { isLegalTopicName } from '../../core/model.js'
import { askWithin } from '../../http/api/inner-request.js'
import type { WrittenAnswer } from '../../http/exchange/kept-response.js'
import { JSON_TYPE } from '../../http/exchange/modern-answers.js'
import { PERSISTED_HEADER } from '../../verbs/persisted.js'
import { type FailureCode, ToolError } from './failures.js'
import { requireRight, type ToolCall, tool, topicName } from './tool.js'

/** Characters of a key, as of the header `Idempotency-Key`. */
const MAX_KEY_CHARACTERS = 255
const PRINTABLE = /^[ -~]+$/

const text = z.string()
const encoding = z.enum(['text', 'base64']).default('text')
const header = z.strictObject({ name: text.min(1), value: text.nullable(), value_encoding: encoding })

export const produceInput = z.strictObject({
  topic: topicName,
  value: text.nullable().describe('null: deletes the key from a compacted topic'),
  key: text.nullable().default(null),
  encoding: encoding.describe('Of key and value'),
  headers: z.array(header).max(100).default([]),
  partition: z.int().min(0).optional().describe('Absent: by the key'),
  idempotency_key: text
    .min(1)
    .max(MAX_KEY_CHARACTERS)
    .regex(PRINTABLE)
    .optional()
    .describe('A UUID of yours: a call that comes again with it writes nothing more, and gets the same answer')
})

/** The record to write, as the tool passes it to the route that writes. */
export type Wanted = Omit<z.output<typeof produceInput>, 'idempotency_key'> & { readonly cluster: string }

/** Answer of that route if the record is in Kafka. */
export interface Written {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number | null
}

/** Answer of that route if the record is not, or may not be, in Kafka; possibly a problem document. */
export interface NotWritten {
  readonly code: FailureCode
  readonly errorCode?: number
  readonly detail?: string
}

export const produceMessage = tool(
  {
    name: 'produce_message',
    description:
      'Writes one record, and waits until Kafka has it. persisted: yes; no; unknown (it may be there). After unknown call again with the same idempotency_key: without one the record may be there twice.',
    input: produceInput,
    rights: ['produce'],
    writes: true
  },
  async (call, { idempotency_key: key, ...record }) => {
    const { topic } = record
    requireRight(call, 'produce', { topic })
    if (!isLegalTopicName(topic)) throw new ToolError('invalidTopic', ['topic'])
    requireBytes(record)
    const wanted: Wanted = { cluster: call.cluster, ...record }
    call.begins()
    return resultOf(topic, await written(call, Buffer.from(JSON.stringify(wanted)), key))
  }
)

/** Half of a pair of surrogates is no character: other bytes than were sent would be written. */
const HALF_PAIR = /\p{Surrogate}/u

/** @throws ToolError that names the first argument whose text has no bytes */
function requireBytes({ key, value, headers, encoding }: Pick<Wanted, 'key' | 'value' | 'headers' | 'encoding'>): void {
  const require = (name: string, one: string | null, encoding: Wanted['encoding']): void => {
    if (one !== null && HALF_PAIR.test(one)) throw new ToolError('invalidArguments', [name])
    if (bytesOf(one, encoding) === undefined) throw new ToolError('notBase64', [name])
  }
  require('key', key, encoding)
  require('value', value, encoding)
  for (const { name, value, value_encoding } of headers) {
    require('headers', name, 'text')
    require('headers', value, value_encoding)
  }
}

/** @returns `undefined`: it is no base64 */
export function bytesOf(part: string | null, encoding: Wanted['encoding']): Buffer | null | undefined {
  if (part === null) return null
  return encoding === 'text' ? Buffer.from(part) : decodeBase64(Buffer.from(part))
}

/** The answer of the route that writes, whatever process carries it out: a key has an owner. */
function written({ caller, exchange, parts }: ToolCall, body: Buffer, key: string | undefined): Promise<WrittenAnswer> {
  const headers = { 'content-type': JSON_TYPE, ...(key !== undefined && { 'idempotency-key': JSON.stringify(key) }) }
  return askWithin(parts.produce!, { exchange, url: '/mcp/produce_message', headers, body }, caller)
}

/** @throws ToolError where the record is not known to be in Kafka */
function resultOf(topic: string, { status, headers, body, ...answer }: WrittenAnswer): object {
  const said = answer.persisted ?? headers.find(([name]) => name === PERSISTED_HEADER)?.[1] ?? 'unknown'
  const told: unknown = JSON.parse(body.toString())
  if (status === 200) return { topic, persisted: 'yes', ...(told as Written) }
  const { code, errorCode, detail = '' } = told as NotWritten
  // A record on its way is in no log of this API.
  const persisted = said === 'no' ? 'no' : 'unknown'
  const kafka = errorCode === undefined ? undefined : { errorCode, message: detail }
  throw new ToolError(codeOf(status, code, persisted), [], { persisted, ...(kafka && { kafka }) })
}

/** Refusals for the sake of a key have a status, and no code of their own: Kafka refuses records with the same one. */
function codeOf(status: number, code: FailureCode, persisted: 'no' | 'unknown'): FailureCode {
  if (status === 409) return 'keyBusy'
  if (status === 422 && code !== 'recordRejected') return 'keyUsed'
  return code === 'overloaded' && persisted === 'unknown' ? 'keyUnanswered' : code
}
