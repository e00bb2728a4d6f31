import type { Delivery, ProduceOptions } from '../delivery/delivery.js'
import type { ProduceTicket } from '../delivery/ticket.js'
import type { ProduceRecord } from '../model.js'
import type { Gateway } from './gateway.js'

export interface KafkaGatewayDeps {
  readonly delivery: Pick<Delivery, 'accept'>
  /** Whether any broker is connected; asked when somebody asks. */
  readonly isReady: () => boolean
}

/** The gateway's verbs over one Kafka cluster. */
export class KafkaGateway implements Gateway {
  readonly #deps: KafkaGatewayDeps

  constructor(deps: KafkaGatewayDeps) {
    this.#deps = deps
  }

  produce(records: readonly ProduceRecord[], options: ProduceOptions): ProduceTicket {
    return this.#deps.delivery.accept(records, options)
  }

  get isReady(): boolean {
    return this.#deps.isReady()
  }
}
