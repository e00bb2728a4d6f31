import { randomUUID } from 'node:crypto'
import type { ConsumeManyResult } from '../consumer/group/consume-result.js'
import type { ConsumerGroups } from '../consumer/group/consumer-groups.js'
import { LoopDemand } from '../consumer/group/loop-demand.js'
import type { ActorRef } from '../core/actor/actor.js'
import { inTime } from '../core/in-time.js'
import { withFields } from '../core/log-fields.js'
import type { Logger, MonotonicClock, Offset } from '../core/model.js'
import { messageOf } from '../core/node-errors.js'
import type { RouterMessage } from '../router/messages/operations.js'
import type { Verbs } from '../verbs/verbs.js'
import { ClosingSender } from './closing-sender.js'
import { groupOfWebhook, originOf, type WebhookDefinition } from './definition.js'
import type { AttemptSender } from './endpoint/attempt.js'
import { Pace } from './pace.js'
import type { RequestSettings } from './record-request.js'
import { RecordRun } from './record-run.js'
import { KAFKA_TIMEOUT_MS, type MemberTimes } from './start-leader.js'
import type { SkipResult, TestResult } from './webhook-desk.js'
import type { WebhookMemory } from './webhook-memory.js'
import { commitStart, type KafkaState, lookAtKafka } from './webhook-start.js'
import type { WebhookState, WebhookStatus } from './webhook-status.js'

/** Limits of the messages that are taken from a group at once. */
const AT_ONCE = { maxMessages: 32, maxBytes: 256 * 1024 }
/** Between two looks at topics and members. */
const LOOK_EVERY_MS = 30_000
/** Interval of the attempts to find out where the webhook begins, and to join its group. */
const BEGIN_AGAIN_MS = 1_000
const ASK_AGAIN_MS = 500
/** Number of failed attempts to begin that are not reported, because a coordinator may have just started. */
const HASTY_BEGINNINGS = 3
const NOT_BEGUN = 'Kafka does not tell, or does not keep, where the webhook begins in its topic'
const TEST_PAUSE_MS = 1_000

/** The cluster of a webhook. */
export interface WebhookCluster {
  readonly router: ActorRef<RouterMessage>
  readonly verbs: Verbs
  /** Groups of webhooks only, which no other client uses. */
  readonly groups: ConsumerGroups
  readonly member: MemberTimes
  /** Records of aborted transactions are read. */
  readonly readsAborted: boolean
}

export interface WebhookDeps {
  readonly cluster: WebhookCluster
  readonly openSender: (definition: WebhookDefinition) => AttemptSender
  readonly memory: WebhookMemory
  readonly request: RequestSettings
  readonly clock: MonotonicClock
  readonly now: () => number
  readonly random: () => number
  readonly log: Logger
}

/** One webhook at this gateway: a member of its group, whose records are sent to an endpoint. */
export class Webhook {
  readonly group: string
  #definition: WebhookDefinition
  readonly #deps: WebhookDeps
  readonly #log: Logger
  readonly #pace: Pace
  readonly #demand: LoopDemand
  readonly #run: RecordRun
  #sender: ClosingSender
  #kafka: KafkaState | undefined
  #retentionMs: number | undefined
  #hasJoined = false
  #isGone = false
  /** Why Kafka does not let the member join, or read. */
  #refusal: string | undefined
  #isClosing = false
  /** Attempts to begin. */
  #beginnings = 0
  readonly #cut = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #askTimer: NodeJS.Timeout | undefined
  #testedAt = Number.NEGATIVE_INFINITY
  #said: string | undefined

  constructor(definition: WebhookDefinition, deps: WebhookDeps) {
    const { name, topic, maxInFlight } = definition
    this.group = groupOfWebhook(name)
    this.#definition = definition
    this.#deps = deps
    this.#log = withFields(deps.log, { webhook: name })
    this.#pace = new Pace({ ...deps, maxInFlight })
    this.#sender = new ClosingSender(deps.openSender(definition))
    this.#demand = new LoopDemand({ groupId: this.group, start: 'earliest', isPatient: true })
    this.#demand.setTopics([topic])
    this.#run = new RecordRun({
      ...deps,
      log: this.#log,
      verbs: deps.cluster.verbs,
      pace: this.#pace,
      definition: () => this.#definition,
      sender: () => this.#sender,
      isRunning: () => this.state === 'running' && !this.#isClosing,
      onGone: () => this.#wasGone(),
      wants: partition => this.#demand.wants({ topic, partition }),
      onFree: () => this.#ask(),
      signal: this.#cut.signal
    })
    this.#demand.sink = this.#run
    void this.#look()
  }

  get definition(): WebhookDefinition {
    return this.#definition
  }

  get state(): WebhookState {
    if (this.#kafka?.isMissing === true && this.#demand.partitionCount === 0) return 'waiting'
    if (this.#because !== undefined) return 'broken'
    if (this.#definition.paused) return 'paused'
    return this.#isGone ? 'gone' : 'running'
  }

  get #because(): string | undefined {
    return this.#refusal ?? this.#kafka?.broken
  }

  /** @param definition another one of the same name, cluster and topic */
  configure(definition: WebhookDefinition): void {
    const { url, maxInFlight } = definition
    const isAnother = url !== this.#definition.url
    this.#definition = definition
    this.#pace.configure(maxInFlight)
    if (isAnother) {
      this.#isGone = false
      this.#pace.reset()
      this.#renewSender()
    }
    this.#changed()
    this.#lookSoon()
  }

  /** Attempts under way keep their connections. */
  #renewSender(): void {
    this.#sender.leave()
    this.#sender = new ClosingSender(this.#deps.openSender(this.#definition))
  }

  /** Ends the state `gone`, and any pause of the webhook. @returns false: there was neither */
  resume(): boolean {
    if (!this.#isGone && this.#pace.pausedUntil === undefined) return false
    this.#isGone = false
    this.#pace.reset()
    this.#changed()
    return true
  }

  #wasGone(): void {
    this.#isGone = true
    this.#changed()
  }

  #changed(): void {
    const { state } = this
    const said = `${state} ${this.#because ?? ''}`
    if (said !== this.#said && (state === 'broken' || state === 'gone'))
      this.#log.warn({ state, because: this.#because }, 'the webhook sends nothing')
    this.#said = said
    this.#run.goOn()
  }

  /** Looks at topics and members, joins where the webhook begins is known, and looks again later. */
  async #look(): Promise<void> {
    const { router } = this.#deps.cluster
    try {
      const kafka = await lookAtKafka(router, this.#definition)
      if (this.#isClosing) return
      if (kafka !== undefined) this.#kafka = kafka
      if (kafka !== undefined && !this.#hasJoined) await this.#begin(kafka)
      if (this.#demand.partitionCount > 0) this.#refusal = undefined
      this.#lookAtRetention()
    } catch (error) {
      this.#log.error({ err: error }, 'a look at the topic of a webhook has failed')
    }
    if (this.#isClosing) return
    this.#changed()
    this.#lookLater(this.#hasJoined ? LOOK_EVERY_MS : BEGIN_AGAIN_MS)
  }

  async #begin(kafka: KafkaState): Promise<void> {
    const { router, member } = this.#deps.cluster
    this.#hasJoined = kafka.partitions.length === 0 || (await commitStart(router, this.#definition, kafka, member))
    this.#beginnings++
    if (this.#hasJoined) this.#refusal = undefined
    else if (this.#beginnings >= HASTY_BEGINNINGS) this.#refusal = NOT_BEGUN
  }

  #lookLater(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), ms)
  }

  #lookSoon(): void {
    if (this.#hasJoined) this.#lookLater(0)
  }

  #lookAtRetention(): void {
    const { topic } = this.#definition
    this.#deps.cluster.verbs.admin.describeConfigs([{ type: 'topic', name: topic }], KAFKA_TIMEOUT_MS).then(
      configs => {
        const value = Number(configs.get(topic)?.find(({ name }) => name === 'retention.ms')?.value ?? -1)
        this.#retentionMs = value >= 0 ? value : undefined
      },
      error => this.#log.debug({ problem: messageOf(error) }, 'the retention of a topic is not known')
    )
  }

  /**
   * Takes records while few wait for their first turn. Asks also while the webhook is paused or broken, so that this
   * gateway stays a member.
   */
  #ask(): void {
    if (!this.#hasJoined || this.#isClosing || this.#demand.isAsking || this.#askTimer !== undefined) return
    if (!this.#run.wantsMore) return
    this.#deps.cluster.groups.ask(this.#demand, AT_ONCE, result => this.#answered(result))
  }

  #answered(result: ConsumeManyResult): void {
    if (this.#isClosing) return
    if (result.type === 'messages') {
      this.#refusal = undefined
      this.#run.goOn()
      return
    }
    const { message = 'no answer in time' } = result.type === 'failed' ? result : {}
    if (result.type === 'failed' && !result.retriable) this.#refusal = message
    this.#askTimer = setTimeout(
      () => {
        this.#askTimer = undefined
        this.#ask()
      },
      this.#refusal === undefined ? ASK_AGAIN_MS : LOOK_EVERY_MS
    )
    this.#changed()
  }

  skip(partition: number, offset: Offset): Promise<SkipResult> {
    return this.#run.skip(partition, offset)
  }

  async test(): Promise<TestResult> {
    const { clock } = this.#deps
    const startedAt = clock()
    const retryAfterMs = this.#testedAt + TEST_PAUSE_MS - startedAt
    if (retryAfterMs > 0) return { type: 'tooSoon', retryAfterMs }
    this.#testedAt = startedAt
    const id = `test-${randomUUID()}`
    const { timeoutMs, contentType } = this.#definition
    const headers = [
      ['content-type', contentType],
      ['x-castellan-test', 'true']
    ] as const
    const answer = await this.#sender.send({ id, body: Buffer.alloc(0), headers, timeoutMs }, this.#cut.signal)
    return { type: 'sent', id, answer, ms: Math.round(clock() - startedAt) }
  }

  status(): WebhookStatus {
    const { name, cluster, topic } = this.#definition
    const { clock, now } = this.#deps
    const { groups, readsAborted } = this.#deps.cluster
    const { positions } = groups.beginningOf(this.group, topic, this.#kafka?.topicId)
    const { notes, requests, totals, failingSince, deadLettersStopped } = this.#run
    const { inFlight, window, pausedUntil } = this.#pace
    return {
      name,
      cluster,
      topic,
      group: this.group,
      origin: originOf(this.#definition),
      state: this.state,
      because: this.#because,
      failingSince,
      deadLettersStopped,
      foreignMember: this.#kafka?.foreignMember === true,
      sendsAborted: readsAborted,
      partitions: this.#run.partitions(positions),
      inFlight,
      window,
      pausedUntil: pausedUntil === undefined ? undefined : now() + pausedUntil - clock(),
      attempts: notes,
      totals: { requests, ...totals },
      retentionMs: this.#retentionMs
    }
  }

  /**
   * No attempt begins from now on. Resolves when the group is left.
   *
   * @param graceMs for answers under way
   * @param timeoutMs for all of it
   */
  async close(graceMs: number, timeoutMs: number): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    clearTimeout(this.#timer)
    clearTimeout(this.#askTimer)
    await inTime(this.#deps.cluster.groups.leave(this.group, graceMs), timeoutMs, () => undefined)
    this.#cut.abort()
    this.#demand.close()
    this.#run.stop()
    this.#sender.close()
  }
}
