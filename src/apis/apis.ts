import type { z } from 'zod'
import type { HttpApi } from '../http/api/api.js'
import { arion } from './arion/api.js'
import { cloudevents } from './cloudevents/api.js'
import { confluent } from './confluent/api.js'
import { kafboy } from './kafboy/api.js'
import { kafkaPixy } from './kafka-pixy/api.js'
import { kprf } from './kprf/api.js'
import { mcp } from './mcp/api.js'
import { queues } from './queues/api.js'
import { strimzi } from './strimzi/api.js'

/** Every HTTP API of this version. */
export const apis = [
  kprf,
  kafboy,
  arion,
  kafkaPixy,
  confluent,
  strimzi,
  cloudevents,
  queues,
  mcp
] as const satisfies readonly HttpApi[]

/** For webhooks, which send events in the form in which this API answers them. */
export { eventRequest } from './cloudevents/event-request.js'

export type SettingsOfApis = { readonly [D in (typeof apis)[number] as D['name']]: z.output<D['settings']> }
