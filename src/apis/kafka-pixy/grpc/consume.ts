import { type ServerUnaryCall, status } from '@grpc/grpc-js'
import { sizeOfRecord } from '../../../core/model.js'
import type { ConsumedMessage, ConsumeResult, Gateway, MessageId } from '../../../gateway/gateway.js'
import { clientAt } from '../../../http/exchange/client.js'
import { DISABLED, LONG_POLL_TIMEOUT, overloadedTextOf, SHUTTING_DOWN } from '../failure-texts.js'
import type { KafkaPixySettings } from '../settings.js'
import type { ReceivedRequest } from './calls.js'
import type { AckRq, ConsNAckRq, ConsRs } from './messages.js'
import { StatusError, statusOf, statusOfError } from './statuses.js'

/** A call, whose message has been received. */
export type ReceivedCall = ServerUnaryCall<ReceivedRequest, unknown>

const EMPTY = Buffer.alloc(0)

/** `ConsumeNAck` and `Ack`. */
export class Consumer {
  readonly #settings: KafkaPixySettings
  /** Ends of the calls that wait for a message. */
  readonly #waiting = new Set<(error: StatusError) => void>()

  constructor(settings: KafkaPixySettings) {
    this.#settings = settings
  }

  /** Answers calls that wait for a message: the process stops. */
  stop(): void {
    for (const end of [...this.#waiting]) end(new StatusError(status.UNAVAILABLE, SHUTTING_DOWN))
  }

  async consume(gateway: Gateway, request: ConsNAckRq, call: ReceivedCall): Promise<ConsRs> {
    const { group, topic, no_ack, auto_ack, ack_partition: partition, ack_offset: offset } = request
    const acksAnother = !no_ack && !auto_ack
    if (acksAnother) requirePlace(partition, offset)
    requireGroup(group)
    if (this.#settings.consumerDisabled) throw new StatusError(status.UNAVAILABLE, DISABLED)
    // The acknowledgement precedes the request for a message. The answer does not report the outcome of the
    // acknowledgement.
    if (acksAnother) void gateway.groups.ack(group, { topic, partition, offset }).catch(() => undefined)
    const message = await this.#next(gateway, group, topic, call)
    // The next call of the client is refused when its quotas are used up.
    call.request.caller.charge(1, sizeOfRecord(message))
    call.request.answered = isSent => {
      if (!isSent) message.release()
      else if (auto_ack && !no_ack) message.ack()
    }
    return toAnswer(message)
  }

  async ack(gateway: Gateway, { group, topic, partition, offset }: AckRq): Promise<object> {
    requirePlace(partition, offset)
    requireGroup(group)
    const message: MessageId = { topic, partition, offset }
    const result = await gateway.groups.ack(group, message)
    switch (result.type) {
      case 'acked':
        return {}
      case 'failed':
        throw statusOf(result, status.NOT_FOUND, gateway.isReady)
      case 'notRead': {
        const text = `acks channel missing for {${group} ${topic} ${partition}}`
        throw new StatusError(status.INTERNAL, result.reason === undefined ? text : `${text}: ${result.reason}`)
      }
      case 'notOffered': {
        const place = `{${group} ${topic} ${partition}}`
        throw new StatusError(status.INVALID_ARGUMENT, `offset ${offset} of ${place} has not been offered`)
      }
    }
  }

  #next(gateway: Gateway, group: string, topic: string, call: ReceivedCall): Promise<ConsumedMessage> {
    const { address, caller } = call.request
    return new Promise((resolve, reject) => {
      const end = (error: StatusError): void => {
        cancel()
        this.#waiting.delete(end)
        reject(error)
      }
      const reply = (result: ConsumeResult): void => {
        this.#waiting.delete(end)
        if (result.type !== 'message') reject(failureOf(result, gateway.isReady))
        else if (call.cancelled) {
          result.message.release()
          reject(new StatusError(status.CANCELLED, 'the client has gone away'))
        } else resolve(result.message)
      }
      this.#waiting.add(end)
      const cancel = gateway.groups.consume(group, topic, undefined, { reply, client: clientAt(address, caller) })
      caller.watch('consume', { topic, group }, error => end(statusOfError(error, true)!))
      call.once('cancelled', () => end(new StatusError(status.CANCELLED, 'the client has gone away')))
    })
  }
}

function failureOf(result: Exclude<ConsumeResult, { type: 'message' }>, isReady: boolean): StatusError {
  if (result.type === 'timedOut') return new StatusError(status.NOT_FOUND, LONG_POLL_TIMEOUT)
  if (result.code === 'overloaded') return new StatusError(status.RESOURCE_EXHAUSTED, overloadedTextOf(result))
  return statusOf(result, status.INTERNAL, isReady)
}

/** The bytes are copied when the answer is encoded, in the same tick. */
const toAnswer = ({ partition, offset, key, value, headers }: ConsumedMessage): ConsRs => ({
  partition,
  offset,
  key_value: key ?? EMPTY,
  key_undefined: key === null,
  message: value ?? EMPTY,
  headers: headers.map(header => ({ key: header.key, value: header.value ?? EMPTY }))
})

function requirePlace(partition: number, offset: number): void {
  if (partition < 0) throw new StatusError(status.INVALID_ARGUMENT, `bad ack partition: ${partition}`)
  if (offset < 0) throw new StatusError(status.INVALID_ARGUMENT, `bad ack offset: ${offset}`)
}

function requireGroup(group: string): void {
  if (group === '')
    throw new StatusError(status.INVALID_ARGUMENT, 'one consumer group is expected, but its name is empty')
}
