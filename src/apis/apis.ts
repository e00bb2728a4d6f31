import type { z } from 'zod'
import type { HttpApi } from '../http/api/api.js'
import { arion } from './arion/index.js'
import { kafboy } from './kafboy/index.js'
import { kafkaPixy } from './kafka-pixy/index.js'
import { kprf } from './kprf/index.js'

/** Every HTTP API of this version. */
export const apis = [kprf, kafboy, arion, kafkaPixy] as const satisfies readonly HttpApi[]

/** The settings of each API, by name. */
export type SettingsOfApis = { readonly [D in (typeof apis)[number] as D['name']]: z.output<D['settings']> }
