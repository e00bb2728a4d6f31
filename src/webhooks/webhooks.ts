import { ConsumerGroups } from '../consumer/group/consumer-groups.js'
import type { ConsumerSettings } from '../consumer/group/settings.js'
import type { ActorRef, ActorSystem } from '../core/actor/actor.js'
import { inTime } from '../core/in-time.js'
import { defaultLogger } from '../core/metrics/metrics-logger.js'
import type { Offset } from '../core/model.js'
import type { RecordBudget } from '../core/record-budget.js'
import type { RouterMessage } from '../router/messages/operations.js'
import { problemOfGroup } from '../router/requests/failures.js'
import type { Verbs } from '../verbs/verbs.js'
import { readsSame, type WebhookDefinition } from './definition.js'
import { MOST_OPEN } from './open-records.js'
import { Webhook, type WebhookCluster, type WebhookDeps } from './webhook.js'
import type { ResumeResult, SkipResult, TestResult, WebhookDesk } from './webhook-desk.js'
import { WebhookMemory } from './webhook-memory.js'
import type { WebhookStatus } from './webhook-status.js'

/** The rest of the time for closing is for commits. */
const ANSWERS_SHARE = 0.7
/** How long the answers of a webhook that is removed are waited for, as groups wait in a rebalance. */
const REMOVED_GRACE_MS = 5_000
const REMOVED_TIMEOUT_MS = 30_000

/** A Kafka cluster with webhooks. */
export interface ClusterOfWebhooks {
  readonly system: ActorSystem
  readonly router: ActorRef<RouterMessage>
  readonly verbs: Verbs
  readonly consumer: ConsumerSettings
  readonly isolation: 'readCommitted' | 'readUncommitted'
}

export interface WebhooksDeps extends Omit<WebhookDeps, 'cluster' | 'memory'> {
  readonly records: RecordBudget
  /** Called for the clusters of definitions, which are checked before. */
  readonly clusterOf: (name: string) => ClusterOfWebhooks
}

/** The webhooks of this process. */
export class Webhooks implements WebhookDesk {
  readonly #deps: WebhooksDeps
  readonly #memory: WebhookMemory
  readonly #webhooks = new Map<string, Webhook>()
  /** By the name of the cluster. */
  readonly #clusters = new Map<string, WebhookCluster>()
  /** Webhooks that leave their groups, by name: one of the same name begins when they have left. */
  readonly #ending = new Map<string, Promise<void>>()
  #definitions: readonly WebhookDefinition[] = []
  #isClosing = false

  constructor(deps: WebhooksDeps) {
    this.#deps = deps
    this.#memory = new WebhookMemory(deps.records)
  }

  configure(definitions: readonly WebhookDefinition[]): void {
    this.#definitions = definitions
    const wanted = new Map(definitions.map(definition => [definition.name, definition]))
    for (const [name, webhook] of this.#webhooks) {
      const next = wanted.get(name)
      if (next === undefined || !readsSame(next, webhook.definition)) this.#end(name, webhook)
      else if (JSON.stringify(next) !== JSON.stringify(webhook.definition)) webhook.configure(next)
    }
    this.#startMissing()
  }

  /** Puts all into the order of the definitions. Each is among them as soon as there is one. */
  #startMissing(): void {
    for (const definition of this.#isClosing ? [] : this.#definitions) {
      const { name, cluster } = definition
      if (this.#ending.has(name)) continue
      const webhook =
        this.#webhooks.get(name) ??
        new Webhook(definition, { ...this.#deps, memory: this.#memory, cluster: this.#clusterOf(cluster) })
      this.#webhooks.delete(name)
      this.#webhooks.set(name, webhook)
    }
  }

  #end(name: string, webhook: Webhook): void {
    this.#webhooks.delete(name)
    const ended = webhook.close(REMOVED_GRACE_MS, REMOVED_TIMEOUT_MS).finally(() => {
      this.#ending.delete(name)
      if (!this.#isClosing) this.#startMissing()
    })
    this.#ending.set(name, ended)
  }

  #clusterOf(name: string): WebhookCluster {
    const known = this.#clusters.get(name)
    if (known !== undefined) return known
    const { clusterOf, clock, log, records } = this.#deps
    const { system, router, verbs, consumer, isolation } = clusterOf(name)
    const settings = { ...consumer, ...OWN_RULES }
    const metrics = defaultLogger
    const of = { system, router, settings, clock, log, metrics, records, problemOfName: problemOfGroup }
    const groups = new ConsumerGroups(of)
    const cluster = { router, verbs, groups, member: consumer, readsAborted: isolation === 'readUncommitted' }
    this.#clusters.set(name, cluster)
    return cluster
  }

  status(): readonly WebhookStatus[] {
    return Array.from(this.#webhooks.values(), webhook => webhook.status())
  }

  async skip(name: string, partition: number, offset: Offset): Promise<SkipResult> {
    return this.#webhooks.get(name)?.skip(partition, offset) ?? { type: 'unknownWebhook' }
  }

  async test(name: string): Promise<TestResult> {
    return this.#webhooks.get(name)?.test() ?? { type: 'unknownWebhook' }
  }

  resume(name: string): ResumeResult {
    const webhook = this.#webhooks.get(name)
    if (webhook === undefined) return { type: 'unknownWebhook' }
    return { type: webhook.resume() ? 'resumed' : 'notGone' }
  }

  async close(timeoutMs: number): Promise<void> {
    this.#isClosing = true
    const graceMs = timeoutMs * ANSWERS_SHARE
    const closed = Array.from(this.#webhooks.values(), webhook => webhook.close(graceMs, timeoutMs))
    await inTime(Promise.all([...closed, ...this.#ending.values()]), timeoutMs, () => undefined)
    await Promise.all(Array.from(this.#clusters.values(), ({ groups }) => groups.stop(0, 0)))
  }
}

/**
 * A webhook is not a client that comes and goes: its member stays, and no clock settles or takes back its records. Gateways lend
 * messages of other groups than these, so none of its records is lent.
 */
const OWN_RULES = {
  start: 'earliest',
  ackTimeoutMs: Number.POSITIVE_INFINITY,
  maxRetries: -1,
  subscriptionTimeoutMs: Number.POSITIVE_INFINITY,
  maxPendingMessages: MOST_OPEN
} as const satisfies Partial<ConsumerSettings>
