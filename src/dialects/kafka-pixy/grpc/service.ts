import {
  type handleUnaryCall,
  type Metadata,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation
} from '@grpc/grpc-js'
import type { Caller, Operation, Target } from '../../../access/access.js'
import { clientAt } from '../../../exchange/client-of.js'
import type { Gateway } from '../../../gateway/gateway.js'
import type { Logger } from '../../../model.js'
import { SHUTTING_DOWN } from '../failure-texts.js'
import type { KafkaPixySettings } from '../settings.js'
import { type Call, Consumer } from './consume.js'
import { LookUps } from './look-ups.js'
import type { MethodName, Methods } from './messages.js'
import { Producer } from './produce.js'
import { StatusError, statusOfError } from './statuses.js'
import { hostOf } from './visit.js'

/** Calls at a time; each of them holds its request, and a long poll a place in the queue of its group as well. */
const MAX_CALLS = 10_000
/** Bytes of messages that are being produced. */
const MAX_HELD_BYTES = 64 * 1024 * 1024

export interface ServiceParts {
  readonly callerOf: (metadata: Metadata) => Caller
  /** By the name of the cluster; the empty name is the default one. */
  readonly gateways: ReadonlyMap<string, Gateway>
  readonly log: Logger
}

interface Method<Name extends MethodName> {
  readonly operation: Operation
  target(request: Methods[Name][0]): Target
  /** Records and bytes to charge to quotas before the method runs. */
  bytes?(request: Methods[Name][0]): number
  run(gateway: Gateway, request: Methods[Name][0], call: Call): Promise<Methods[Name][1]>
}

type Implementation = { readonly [Name in MethodName]: Method<Name> }

/** Kafka-Pixy's gRPC service over the verbs of the gateway. */
export class KafkaPixyService {
  readonly #parts: ServiceParts
  readonly #methods: Implementation
  readonly #consumer: Consumer
  #calls = 0
  #heldBytes = 0
  #isStopping = false

  constructor(settings: KafkaPixySettings, parts: ServiceParts) {
    this.#parts = parts
    this.#consumer = new Consumer(settings)
    this.#methods = methodsOf(new Producer(settings), this.#consumer, new LookUps(settings.lookUpTimeoutMs))
  }

  /** Calls without an answer. */
  get openCalls(): number {
    return this.#calls
  }

  /** The functions that grpc-js calls. */
  get handlers(): UntypedServiceImplementation {
    const names = Object.keys(this.#methods) as MethodName[]
    return Object.fromEntries(names.map(name => [name, this.#handler(name)])) as UntypedServiceImplementation
  }

  /** Refuses calls from now on, and ends those that wait for a message. */
  stop(): void {
    this.#isStopping = true
    this.#consumer.stop()
  }

  #handler<Name extends MethodName>(name: Name): handleUnaryCall<Methods[Name][0], Methods[Name][1]> {
    return (call, callback) => {
      const bytes = this.#methods[name].bytes?.(call.request as never) ?? 0
      this.#calls++
      this.#heldBytes += bytes
      this.#serve(name, call, callback).finally(() => {
        this.#calls--
        this.#heldBytes -= bytes
      })
    }
  }

  async #serve<Name extends MethodName>(
    name: Name,
    call: ServerUnaryCall<Methods[Name][0], Methods[Name][1]>,
    callback: sendUnaryData<Methods[Name][1]>
  ): Promise<void> {
    const gateway = this.#parts.gateways.get(call.request.cluster)
    const answered = new Answered()
    try {
      if (this.#isStopping) throw new StatusError(status.UNAVAILABLE, SHUTTING_DOWN)
      if (this.#calls > MAX_CALLS || this.#heldBytes > MAX_HELD_BYTES)
        throw new StatusError(status.RESOURCE_EXHAUSTED, 'too many calls at a time')
      const result = await this.#run(name, gateway, this.#parts.callerOf(call.metadata), call, answered)
      // Afterwards a call counts as cancelled, too, because its stream has closed.
      const isSent = !call.cancelled
      callback(null, result)
      answered.tell(isSent)
    } catch (error) {
      callback(this.#statusOf(name, error, gateway?.isReady ?? false))
    }
  }

  #run<Name extends MethodName>(
    name: Name,
    gateway: Gateway | undefined,
    caller: Caller,
    call: ServerUnaryCall<Methods[Name][0], Methods[Name][1]>,
    answered: Answered
  ): Promise<Methods[Name][1]> {
    const { request } = call
    const method = this.#methods[name] as unknown as Method<Name>
    const { cluster } = request
    if (!gateway) throw new StatusError(status.INVALID_ARGUMENT, `proxy \`${cluster}\` does not exist`)
    const refusal = caller.refusalOf(method.operation, method.target(request))
    if (refusal) throw refusal
    const quota = method.bytes && caller.charge(1, method.bytes(request))
    if (quota) throw quota
    const watch: Call['watch'] = onRefused =>
      caller.watch(method.operation, method.target(request), error => onRefused(statusOfError(error, true)!))
    return method.run(gateway, request, callOf(call, caller, answered, watch))
  }

  #statusOf(
    name: MethodName,
    error: unknown,
    isReady: boolean
  ): { code: status; details: string; metadata?: Metadata } {
    const known = statusOfError(error, isReady)
    if (known) return { code: known.code, details: known.message }
    this.#parts.log.error({ err: error as Error, method: name }, 'a call of gRPC failed unexpectedly')
    return { code: status.INTERNAL, details: 'internal error' }
  }
}

/** What is to be done once a call has its answer. */
class Answered {
  tell: (isSent: boolean) => void = () => undefined
}

const callOf = (
  call: ServerUnaryCall<unknown, unknown>,
  caller: Caller,
  answered: Answered,
  watch: Call['watch']
): Call => ({
  watch,
  client: clientAt(hostOf(call.getPeer()), caller),
  get cancelled() {
    return call.cancelled
  },
  onCancelled: cancelled => call.once('cancelled', cancelled),
  onAnswered: run => (answered.tell = run),
  mayAdminister: topic => caller.allows('admin', { topic }),
  charge: (records, bytes) => void caller.charge(records, bytes)
})

const topicOf = ({ topic }: { topic: string }): Target => ({ topic })
const groupOf = ({ topic, group }: { topic: string; group: string }): Target => ({ topic, group })

const methodsOf = (producer: Producer, consumer: Consumer, lookUps: LookUps): Implementation => ({
  Produce: {
    operation: 'produce',
    target: topicOf,
    bytes: ({ message, key_value }) => message.length + key_value.length,
    run: (gateway, request) => producer.produce(gateway, request)
  },
  ConsumeNAck: {
    operation: 'consume',
    target: groupOf,
    run: (gateway, request, call) => consumer.consume(gateway, request, call)
  },
  Ack: { operation: 'consume', target: groupOf, run: (gateway, request) => consumer.ack(gateway, request) },
  GetOffsets: {
    operation: 'offsets',
    target: groupOf,
    run: (gateway, request) => lookUps.getOffsets(gateway, request)
  },
  SetOffsets: {
    operation: 'offsets',
    target: groupOf,
    run: (gateway, request) => lookUps.setOffsets(gateway, request)
  },
  ListTopics: {
    operation: 'admin',
    target: () => ({}),
    run: (gateway, request, { mayAdminister }) => lookUps.listTopics(gateway, request, mayAdminister)
  },
  ListConsumers: {
    operation: 'admin',
    target: ({ topic, group }) => (group === '' ? { topic } : { topic, group }),
    run: (gateway, request) => lookUps.listConsumers(gateway, request)
  },
  GetTopicMetadata: {
    operation: 'admin',
    target: topicOf,
    run: (gateway, request) => lookUps.getTopicMetadata(gateway, request)
  }
})
