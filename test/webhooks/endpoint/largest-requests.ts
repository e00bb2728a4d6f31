import { eventRequest } from '../../../src/apis/cloudevents/event-request.js'
import type { Attempt } from '../../../src/webhooks/endpoint/attempt.js'
import type { EndpointSettings } from '../../../src/webhooks/endpoint/endpoint.js'
import { newSecret } from '../../../src/webhooks/endpoint/signature.js'
import { requestOf, webhookIdOf } from '../../../src/webhooks/record-request.js'

const LARGE = 2 ** 50
const header = (key: string, value: string) => ({ key, value: Buffer.from(value) })
const ofRecord = Array.from({ length: 200 }, (_, at) => header('x-a', 'v'.repeat(199 - at)))
const required = ['id', 'source', 'type'].map(name => header(`ce_${name}`, 'a'))
const ofEvent = Array.from({ length: 60 }, (_, at) => header(`ce_x${at}`, 'v'.repeat(150)))
const LONGEST_KEY = Buffer.alloc(3 * 1_024)

/** Requests whose heads are as large as settings and records can make them, to an endpoint below this url. */
export function largestRequests(below: string): {
  readonly settings: EndpointSettings
  readonly attempts: readonly Attempt[]
} {
  const attempts = (['value', 'cloudevents'] as const).map(format => {
    const event = format === 'value' ? [] : [header('ce_specversion', '1.0'), ...required, ...ofEvent]
    const record = { offset: LARGE, timestampMs: 0, key: LONGEST_KEY, value: null, headers: [...event, ...ofRecord] }
    const definition = { topic: 't'.repeat(249), format, contentType: 'c'.repeat(256) }
    const settings = { maxBodyBytes: 1_000, recordHeaders: ['x-a'], eventOf: eventRequest }
    const request = requestOf(definition, webhookIdOf('A'.repeat(22), 1e6, LARGE), 1e6, record, 1e6, settings)
    if ('unsendable' in request) throw new Error(request.unsendable)
    return { ...request.attempt, timeoutMs: 10_000 }
  })
  const credential = { type: 'bearer', token: 't'.repeat(2_041), urls: [below] } as const
  const url = below + 'a'.repeat(2_048 - below.length)
  return { settings: { url, secrets: [newSecret(), newSecret()], credential }, attempts }
}
