import { z } from 'zod'
import { MAX_PARSED_BYTES } from '../../core/json/parsed-json.js'
import { commonSettings } from '../../http/api/api.js'

export const queuesApiSettings = z
  .strictObject(commonSettings(MAX_PARSED_BYTES))
  .prefault({})
  .describe('Queues over HTTP, under `/queues`; their limits are those of the section `queues`')

export type QueuesApiSettings = z.output<typeof queuesApiSettings>
