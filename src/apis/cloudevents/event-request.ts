import type { KafkaRecord } from '../../core/model.js'
import { binaryOutput, eventIn, hasTooManyHeaders } from './event-output.js'

/** An event in binary mode. */
interface BinaryEvent {
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

/** A record as the request of a webhook, in binary mode. @returns `undefined`: it cannot be read as an event, or has too many headers */
export function eventRequest(record: KafkaRecord): BinaryEvent | undefined {
  const event = eventIn(record)
  if (event === undefined) return undefined
  const output = binaryOutput(event)
  if (hasTooManyHeaders(output)) return undefined
  const { type, body } = output
  const attributes = Object.entries(output.headers).map(([name, value]) => [name, String(value)] as const)
  return { headers: type === undefined ? attributes : [['content-type', type], ...attributes], body }
}
