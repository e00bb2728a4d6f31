import type { Delivery, DeliveryDeps } from './delivery.js'
import { MemoryDelivery } from './memory-delivery.js'

/** Starts delivery; it asks nothing of the Router before the first record comes. */
export const startDelivery = (deps: DeliveryDeps): Delivery => new MemoryDelivery(deps)
