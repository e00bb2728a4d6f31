import {
  type handleUnaryCall,
  Metadata,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation
} from '@grpc/grpc-js'
import { HeldAmount } from '../../../core/held-amount.js'
import type { Logger } from '../../../core/model.js'
import type { RecordBudget } from '../../../core/record-budget.js'
import type { Tracing } from '../../../core/tracing/tracing.js'
import type { ApiProducer } from '../../../http/api/api-producer.js'
import { authorize } from '../../../http/api/endpoint.js'
import { NO_RECORD_HEADERS } from '../../../verbs/produce-origin.js'
import { RECEIPT_HEADER } from '../../../verbs/receipts.js'
import type { ProduceOrigin, Verbs } from '../../../verbs/verbs.js'
import { SHUTTING_DOWN_TEXT } from '../pixy-answers.js'
import type { KafkaPixySettings } from '../settings.js'
import type { ReceivedRequest } from './calls.js'
import { type GrpcMethod, PixyMethods } from './methods.js'
import { countRefused, decodeRequest, StatusError, statusOfError } from './protocol.js'

/** Limit of calls at a time; each call holds its request, and a long poll also holds a place in its group's queue. */
const MAX_CALLS = 10_000

interface ServiceParts {
  /** By name of the cluster; the empty name is the default cluster. */
  readonly verbsByCluster: ReadonlyMap<string, Verbs>
  readonly log: Logger
  readonly producer: ApiProducer
  readonly records: RecordBudget
  readonly tracing?: Tracing | undefined
}

/** Kafka-Pixy's gRPC service over the verbs of the gateway. */
export class KafkaPixyService {
  readonly #parts: ServiceParts
  readonly #methods: PixyMethods
  readonly #calls = new HeldAmount('calls of gRPC')
  #isStopping = false

  constructor(settings: KafkaPixySettings, parts: ServiceParts) {
    this.#parts = parts
    this.#methods = new PixyMethods(settings, parts.producer, parts.records, parts.tracing)
  }

  get openCalls(): number {
    return this.#calls.value
  }

  /** The functions that grpc-js calls. */
  get handlers(): UntypedServiceImplementation {
    const handlers = Object.entries(this.#methods.all).map(([name, method]) => {
      const handler: handleUnaryCall<ReceivedRequest, object> = (call, callback) => {
        const release = this.#calls.take(1)
        this.#serve(name, method, call, callback).finally(release)
      }
      return [name, handler] as const
    })
    return Object.fromEntries(handlers)
  }

  /** Refuses calls from now on, and ends those that wait for a message. */
  stop(): void {
    this.#isStopping = true
    this.#methods.stop()
  }

  /** The request is decoded from its bytes only when it may be served. */
  async #serve(
    name: string,
    method: GrpcMethod,
    call: ServerUnaryCall<ReceivedRequest, object>,
    callback: sendUnaryData<object>
  ): Promise<void> {
    let verbs: Verbs | undefined
    let origin: ProduceOrigin | undefined
    try {
      if (this.#isStopping) throw new StatusError(status.UNAVAILABLE, SHUTTING_DOWN_TEXT, 'shuttingDown')
      if (this.#calls.value > MAX_CALLS) throw new StatusError(status.RESOURCE_EXHAUSTED, 'too many calls at a time')
      const { bytes, hold } = call.request
      const request = decodeRequest(name, bytes, hold)
      verbs = this.#parts.verbsByCluster.get(request.cluster)
      if (!verbs) throw new StatusError(status.INVALID_ARGUMENT, `proxy \`${request.cluster}\` does not exist`)
      const target = method.target(request)
      const { caller } = call.request
      const refusal = authorize(caller, method.verb, target)
      if (refusal) throw refusal
      const quota = method.recordBytesOf && caller.charge(1, method.recordBytesOf(request))
      if (quota) throw quota
      const { principal } = caller
      origin = { principal, recordHeaders: call.request.recordHeaders ?? NO_RECORD_HEADERS, receipt: undefined }
      const result = await method.run(verbs, request, call, origin)
      // Afterwards a call counts as cancelled, too, because its stream has closed.
      const isSent = !call.cancelled
      callback(null, result, receiptOf(origin))
      call.request.answered?.(isSent)
    } catch (error) {
      const metadata = receiptOf(origin)
      const known = statusOfError(error, verbs?.isReady ?? false)
      if (method.recordBytesOf && origin === undefined && known) countRefused(this.#parts.producer, known)
      if (!known) this.#parts.log.error({ err: error, method: name }, 'a call of gRPC failed unexpectedly')
      const { code, message: details } = known ?? { code: status.INTERNAL, message: 'internal error' }
      callback({ code, details, ...(metadata && { metadata }) })
    }
  }
}

/** The receipt of the records of a call, which ends its answer. */
function receiptOf(origin: ProduceOrigin | undefined): Metadata | undefined {
  if (origin?.receipt === undefined) return undefined
  const metadata = new Metadata()
  metadata.set(RECEIPT_HEADER, origin.receipt)
  return metadata
}
