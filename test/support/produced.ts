import type { TopicPartition } from '../../src/core/model.js'
import type { ProduceResponse } from '../../src/kafka/calls.js'
import { ProtocolReader } from '../../src/kafka/protocol/encoding.js'
import { produceV8 } from '../../src/kafka/protocol/produce.js'
import { ResponseBuilder } from './response-builder.js'

/** What a broker answers about a batch. */
export interface ProducedPartition extends TopicPartition {
  readonly errorCode?: number
  /** Default: 7, and -1 with an error. */
  readonly baseOffset?: number
  readonly words?: string
}

/** The answer of a broker to a call with batches of the partitions `asked`, as the call reads it. */
export function produceResponse(
  asked: readonly TopicPartition[],
  answered: readonly ProducedPartition[]
): ProduceResponse {
  const builder = new ResponseBuilder()
  builder.array(
    answered,
    ({ topic, partition, errorCode = 0, baseOffset = errorCode === 0 ? 7 : -1, words = null }) => {
      builder.string(topic).int32(1).int32(partition).int16(errorCode).int64(baseOffset).int64(-1).int64(0)
      builder.int32(0).string(words)
    }
  )
  const reader = new ProtocolReader(builder.int32(0).payload)
  const partitions = asked.map(({ topic, partition }) => ({ topic, partition, bytes: Buffer.alloc(0) }))
  const response = produceV8.decode(reader, { acks: -1, brokerTimeoutMs: 1, partitions })
  reader.end()
  return response
}

/** What the answer says of the batch at this place of the call. */
export const producedAt = ({ rows }: ProduceResponse, at = 0) => ({
  errorCode: rows.errorCode(at),
  baseOffset: rows.baseOffset(at),
  logAppendTimeMs: rows.logAppendTimeMs(at)
})
