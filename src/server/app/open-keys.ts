import { randomBytes } from 'node:crypto'
import type { MetricsLogger, MetricTags } from '../../core/metrics/metrics-logger.js'
import type { Logger } from '../../core/model.js'
import { Idempotency, type IdempotencyDeps } from '../../http/api/idempotency.js'
import type { KeyResult } from '../../http/api/key-answers.js'
import { LocalKeys } from '../../producer/keys/local-keys.js'
import type { IdempotencySettings } from '../../producer/keys/settings.js'

const UNLABELLED = {}
const FULL =
  'requests with a new Idempotency-Key are refused (503) until other keys expire: idempotency.maxBytes is used up, or the share of a client'

/** The keys of requests that this process remembers. */
export const openKeys = (settings: IdempotencySettings, log: Logger, metrics: MetricsLogger): LocalKeys =>
  new LocalKeys({
    ...settings,
    now: Date.now,
    report: usedRatio => metrics.gauge?.('http', 'idempotency_used_ratio', UNLABELLED, usedRatio),
    newSalt: () => randomBytes(4).readUInt32BE(),
    onUnresolved: error =>
      log.error(
        { err: error },
        'what became of earlier requests with keys cannot be read; their retries get 409 until the keys expire'
      ),
    onFailure: error =>
      log.error({ err: error }, 'keys of requests could not be written; if this process dies, they are forgotten'),
    onDamage: file =>
      log.error(
        { file },
        'a file of keys is damaged, or was written by another release: requests with its keys are carried out again'
      )
  })

/** Lets requests have keys. */
export function createIdempotency(
  deps: Omit<IdempotencyDeps, 'count'>,
  metrics: MetricsLogger,
  log: Logger
): Idempotency {
  // A series is found by the identity of its tags.
  const tagsOf = new Map<KeyResult, MetricTags>()
  const count = (result: KeyResult): void => {
    let tags = tagsOf.get(result)
    if (tags === undefined) tagsOf.set(result, (tags = { result }))
    metrics.count('http', 'idempotent_requests', tags)
    if (result === 'full') log.warn({}, FULL)
  }
  return new Idempotency({ ...deps, count })
}
