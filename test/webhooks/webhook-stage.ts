import type { ProgramCastellan } from '../../src/client/open-castellan.js'
import { defaultConsumerSettings } from '../../src/consumer/group/settings.js'
import { silentLogger } from '../../src/core/model.js'
import { RecordBudget } from '../../src/core/record-budget.js'
import type { WebhookDefinition } from '../../src/webhooks/definition.js'
import type { WebhookStatus } from '../../src/webhooks/webhook-status.js'
import { Webhooks, type WebhooksDeps } from '../../src/webhooks/webhooks.js'
import type { FakeEndpoint } from './fake-endpoint.js'

export const hook = (changes: Partial<WebhookDefinition> & { readonly topic: string }): WebhookDefinition => ({
  name: 'hook',
  cluster: 'default',
  url: 'https://api.example.com/hooks/secret',
  start: 'earliest',
  order: 'key',
  format: 'value',
  contentType: 'text/plain',
  timeoutMs: 5_000,
  maxInFlight: 16,
  deadLetters: undefined,
  maxAttempts: 20,
  paused: false,
  ...changes
})

/** The webhooks of one gateway over a cluster. */
export function webhooksOf(
  castellan: Pick<ProgramCastellan, 'system' | 'router' | 'verbs'>,
  endpoint: FakeEndpoint | ((definition: WebhookDefinition) => FakeEndpoint),
  changes: Partial<WebhooksDeps> = {}
): Webhooks {
  const consumer = {
    ...defaultConsumerSettings,
    sessionTimeoutMs: 6_000,
    heartbeatIntervalMs: 100,
    commitIntervalMs: 50,
    revocationMs: 500,
    partitionCheckMs: 200,
    missingTopicCheckMs: 100
  }
  const { router } = castellan
  return new Webhooks({
    clusterOf: () => ({ ...castellan, router: router.ref, consumer, isolation: 'readUncommitted' }),
    openSender: definition => (typeof endpoint === 'function' ? endpoint(definition) : endpoint),
    records: new RecordBudget(64 * 1024 * 1024, () => performance.now()),
    request: { maxBodyBytes: 1024 * 1024, recordHeaders: [], eventOf: () => undefined },
    clock: () => performance.now(),
    now: Date.now,
    random: () => 0,
    log: silentLogger,
    ...changes
  })
}

export const statusOf = (webhooks: Webhooks, name = 'hook'): WebhookStatus =>
  webhooks.status().find(one => one.name === name)!
