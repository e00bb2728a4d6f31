import { status } from '@grpc/grpc-js'
import type { ProduceRecord } from '../../../core/model.js'
import type { Gateway, Loss, ProduceOrigin } from '../../../gateway/gateway.js'
import type { RefusedByApi } from '../../../http/api/refused-records.js'
import { TOO_LARGE } from '../failure-texts.js'
import { API, messageOptionsFor, messageSizeOf, NO_HEADERS_YET, PASSING } from '../producing.js'
import type { KafkaPixySettings } from '../settings.js'
import type { ProdRq, ProdRs } from './messages.js'
import { StatusError, statusOf } from './statuses.js'

const OVERSIZED = { code: 'recordTooLarge', message: TOO_LARGE } as const
/** Answer for a message whose partition and offset are unknown. */
const NO_PLACE: ProdRs = { partition: -1, offset: -1 }

/** `Produce`. */
export class Producer {
  readonly #settings: KafkaPixySettings
  readonly #refused: RefusedByApi
  readonly #options: ReturnType<typeof messageOptionsFor>

  constructor(settings: KafkaPixySettings, refused: RefusedByApi) {
    this.#settings = settings
    this.#refused = refused
    this.#options = messageOptionsFor(settings)
  }

  async produce(gateway: Gateway, request: ProdRq, origin: ProduceOrigin): Promise<ProdRs> {
    const { topic, key_value, key_undefined, message: value, async_mode, headers } = request
    const key = key_undefined ? null : key_value
    const { messageHeaders, maxMessageBytes } = this.#settings
    if (headers.length > 0 && !messageHeaders) {
      this.#refused.add({ code: 'invalidRequest', message: NO_HEADERS_YET })
      throw new StatusError(status.INVALID_ARGUMENT, NO_HEADERS_YET)
    }
    const isTooLarge = messageSizeOf(value, key, headers) > maxMessageBytes
    if (isTooLarge) this.#refused.add(OVERSIZED)
    // An asynchronous message that can never be written is accepted and dropped.
    if (isTooLarge && async_mode) return dropped(gateway, topic, OVERSIZED)
    if (isTooLarge) throw new StatusError(status.INTERNAL, TOO_LARGE)
    const record = { topic, key, value, headers }
    return async_mode ? this.#produceAsync(gateway, record, origin) : this.#produceSync(gateway, record, origin)
  }

  async #produceSync(gateway: Gateway, record: ProduceRecord, origin: ProduceOrigin): Promise<ProdRs> {
    const [outcome] = await gateway.produce([record], this.#options.sync, origin).outcomes()
    if (outcome!.type === 'delivered') return { partition: outcome!.partition, offset: outcome!.offset }
    this.#refused.addFailed([outcome!])
    throw statusOf(outcome!, status.INVALID_ARGUMENT, gateway.isReady)
  }

  async #produceAsync(gateway: Gateway, record: ProduceRecord, origin: ProduceOrigin): Promise<ProdRs> {
    const { topic } = record
    const pendingProduce = gateway.produce([record], this.#options.async, origin)
    const refused =
      this.#options.async.durability === 'disk' ? (await pendingProduce.accepted())?.[0] : pendingProduce.refused?.[0]
    if (refused !== undefined) this.#refused.addFailed([refused])
    if (refused !== undefined && PASSING.has(refused.code))
      throw statusOf(refused, status.INVALID_ARGUMENT, gateway.isReady)
    return refused === undefined ? NO_PLACE : dropped(gateway, topic, refused)
  }
}

/** The answer has no word for a message that was not taken. */
function dropped(gateway: Gateway, topic: string, { code, message }: Loss): ProdRs {
  gateway.lost(API, { code, message, topic }, 1)
  return NO_PLACE
}
