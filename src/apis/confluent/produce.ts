import { DeserializeError } from '../../core/json/json-reader.js'
import type { ProduceRecord, RecordOutcome } from '../../core/model.js'
import type { Gateway, ProduceOptions } from '../../gateway/gateway.js'
import { withBytes } from '../../http/api/endpoint.js'
import { originOf } from '../../http/api/request-origin.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { callerOf, type EndpointParts, whenSettled } from './endpoint-parts.js'
import type { Problem } from './failures.js'
import { BodyError } from './record-bytes.js'
import { type Item, notePlaces } from './v3/record-collector.js'

/** How records of both versions are produced. */
export interface Producing {
  readonly gateway: Pick<Gateway, 'produce'>
  readonly produce: ProduceOptions
}

/**
 * Reads the body of a request that produces, and answers when it cannot be read or used.
 *
 * @param use gets the bytes, valid during the call; may throw a BodyError or a DeserializeError
 */
export function readRecords(
  parts: EndpointParts,
  exchange: Exchange,
  maxBodyBytes: number,
  use: (body: Buffer) => void
): void {
  const refuse = (): void => parts.answers.error(exchange, tooLarge(maxBodyBytes), { isRead: false })
  withBytes(parts, exchange, maxBodyBytes, refuse, body => {
    try {
      use(body)
    } catch (error) {
      const isUnreadable = error instanceof DeserializeError
      // It was sent and read all the same.
      if (isUnreadable || error instanceof BodyError) callerOf(parts, exchange).charge(0, body.length)
      throw isUnreadable ? new BodyError(400, `the body: ${error.message}`) : error
    }
  })
}

/** What a body has brought. */
interface Brought {
  readonly records: readonly ProduceRecord[]
  /** The records with those that cannot be used among them; empty: there are none. */
  readonly items: readonly Item[]
  /** Of the body. */
  readonly bytes: number
}

/** Charges the records to the quotas of the client, and produces them. */
export function produceRecords(
  parts: EndpointParts,
  exchange: Exchange,
  { gateway, produce }: Producing,
  { records, items, bytes }: Brought,
  produced: (outcomes: readonly RecordOutcome[]) => void
): void {
  const quota = callerOf(parts, exchange).charge(records.length, bytes)
  if (quota !== undefined) parts.answers.refuse(exchange, quota, true)
  else if (records.length === 0) produced([])
  else {
    const pending = gateway.produce(records, produce, notePlaces(originOf(exchange.request), items))
    whenSettled(pending, produced, error => parts.broken(exchange, error))
  }
}

const tooLarge = (maxBytes: number): Problem => ({
  status: 413,
  code: 413,
  message: `the body is larger than ${maxBytes} bytes (apis.confluent.maxBodyBytes)`
})
