import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openCastellan, type ProgramCastellan } from '../../../../src/client/open-castellan.js'
import { newSecret } from '../../../../src/webhooks/endpoint/signature.js'
import { SeededRandom } from '../../../support/random.js'
import { freshTopic } from '../../../support/target-cluster.js'
import { Gateway } from '../../kill/gateway.js'
import type { KafkaCluster } from '../cluster.js'
import { causeFaults, type Fault, type FaultCounts } from '../gateway-faults.js'
import { RunEndpoint } from './run-endpoint.js'

const NAME = 'hook'
const PARTITIONS = 6
const GATEWAYS = 2
/** So many records are written at once, one of each key. */
const KEYS = 500
/** This share of the records is there at first, the rest comes while the endpoint is away. */
const FIRST_SHARE = 0.3
const POISON = 'k7:1'
/** Of the faults, this share has come when the endpoint goes away, and this share when the next one waits until it is back. */
const AWAY_FROM = 0.35
const BACK_FROM = 0.7
/** Between two faults while nothing is delivered. */
const FAULT_EVERY_MS = 5_000
/** A run is given up when nothing was delivered for so long: the longest pauses of a webhook and of a record in it. */
const STUCK_MS = 150_000
/** What a fault has cost may show so much later: a member that is missed, commits that were not taken. */
const AFTER_MS = 25_000

export interface WebhookRunOptions {
  readonly cluster: KafkaCluster
  readonly records: number
  readonly faults: FaultCounts
  readonly awayMs: number
  readonly seed: number
  readonly say: (line: string) => void
}

export interface WebhookVerdict {
  readonly problems: readonly string[]
  readonly figures: object
}

interface Healed {
  readonly fault: Fault | 'the endpoint is away'
  readonly from: number
  readonly to: number
}

/**
 * Two gateways send the records of a topic to one endpoint, while gateways and brokers fail
 * and the endpoint is away. It ends when each record has a 2xx or a dead letter, and all of it is committed.
 */
export class WebhookRun {
  readonly #options: WebhookRunOptions
  readonly #topic = freshTopic('webhook-run')
  readonly #dead = freshTopic('webhook-run-dead')
  readonly #random: SeededRandom
  readonly #endpoint = new RunEndpoint(value => value === POISON)
  readonly #healed: Healed[] = []
  readonly #problems: string[] = []
  #gateways: readonly Gateway[] = []
  #castellan!: ProgramCastellan
  #topicId: string | undefined
  #written = 0

  constructor(options: WebhookRunOptions) {
    this.#options = options
    this.#random = new SeededRandom(options.seed)
  }

  async run(): Promise<WebhookVerdict> {
    const { cluster, say } = this.#options
    const directory = mkdtempSync(join(tmpdir(), 'castellan-webhook-run-'))
    const endAll = (): void => {
      for (const gateway of this.#gateways) gateway.end()
      this.#endpoint.close()
    }
    process.once('exit', endAll)
    this.#castellan = await openCastellan({ brokers: cluster.bootstrap })
    try {
      await cluster.createTopic(this.#topic, PARTITIONS)
      await cluster.createTopic(this.#dead, 1)
      // Only its address is needed at first.
      await this.#endpoint.open()
      this.#endpoint.close()
      const figures = await this.#deliver(directory)
      if (this.#problems.length === 0) rmSync(directory, { recursive: true, force: true })
      else say(`the logs of the gateways are in ${directory}`)
      return { problems: this.#problems, figures }
    } finally {
      endAll()
      process.off('exit', endAll)
      await this.#castellan.close()
    }
  }

  async #deliver(directory: string): Promise<object> {
    const { records, say } = this.#options
    this.#gateways = await this.#makeGateways(directory)
    await Promise.all(this.#gateways.map(gateway => gateway.start()))
    say('the gateways are ready')
    await this.#write(records * FIRST_SHARE)
    await this.#endpoint.open()
    const startedAt = performance.now()
    let absence: Promise<unknown> | undefined
    await causeFaults(this.#options.faults, this.#scene(), async part => {
      if (part > AWAY_FROM) absence ??= this.#beAway()
      if (part > BACK_FROM) await absence
      await this.#untilDelivered(part)
    })
    await (absence ?? this.#beAway())
    await this.#untilAllDelivered()
    const tookMs = Math.round(performance.now() - startedAt)
    say(`all ${records} records are delivered, or given up`)
    await this.#check()
    const lost = await this.#sumOf('castellan_webhook_lost_total')
    if (lost > 0) this.#problems.push(`${lost} records are told to be lost`)
    for (const gateway of this.#gateways) {
      const code = await gateway.stop()
      if (code !== 0) this.#problems.push(`a gateway ended with ${code}:\n${gateway.lastWords()}`)
    }
    return { ...this.#figures(), tookMs, lost }
  }

  async #beAway(): Promise<void> {
    const { awayMs, records, say } = this.#options
    say(`the endpoint is away for ${awayMs / 1_000} s`)
    await Promise.all([this.#endpoint.beAway(awayMs), this.#write(records)])
    this.#healed.push({ fault: 'the endpoint is away', ...this.#endpoint.absences.at(-1)! })
    say('the endpoint is back')
  }

  #scene() {
    const { cluster, say } = this.#options
    return {
      cluster,
      say,
      topic: this.#topic,
      gateways: this.#gateways,
      random: this.#random,
      problem: (text: string) => void this.#problems.push(text),
      healed: (fault: Fault, from: number, to: number) => void this.#healed.push({ fault, from, to })
    }
  }

  /** Records are known before they can be sent: the topic is written while the endpoint is away. */
  async #write(until: number): Promise<void> {
    const { history } = this.#endpoint
    this.#topicId ??= (await this.#castellan.verbs.topics([this.#topic], 10_000)).get(this.#topic)?.topicId
    for (; this.#written < until; this.#written += KEYS) {
      const number = this.#written / KEYS
      const records = Array.from({ length: KEYS }, (_, at) => ({
        topic: this.#topic,
        key: `k${at}`,
        value: `k${at}:${number}`
      }))
      const delivered = await this.#castellan.produceOrThrow(records)
      for (const [at, { partition, offset }] of delivered.entries())
        history.wrote(records[at]!.key, records[at]!.value, `${this.#topicId}-${partition}-${offset}`)
    }
  }

  async #makeGateways(directory: string): Promise<readonly Gateway[]> {
    const { cluster } = this.#options
    const secret = newSecret()
    return Promise.all(
      Array.from({ length: GATEWAYS }, (_, at) => {
        const own = join(directory, String(at))
        mkdirSync(own)
        writeFileSync(join(own, 'hook.secret'), secret)
        const definition = {
          topic: this.#topic,
          url: this.#endpoint.urlFor(at),
          secretFile: join(own, 'hook.secret'),
          start: 'earliest',
          deadLetters: this.#dead
        }
        const config = join(own, 'castellan.json')
        const webhooks = { networks: ['127.0.0.1/32'], definitions: { [NAME]: definition } }
        writeFileSync(config, JSON.stringify({ webhooks, consumer: { sessionTimeoutMs: 6_000 } }))
        return Gateway.make({ directory: own, bootstrap: cluster.bootstrap, flags: [], config })
      })
    )
  }

  get #missing(): number {
    return this.#endpoint.history.missingCount
  }

  /** Resolves when such a share of what is written is delivered, or, while nothing can be, after some seconds. */
  async #untilDelivered(part: number): Promise<void> {
    const endsAt = performance.now() + FAULT_EVERY_MS
    while (this.#missing > (1 - part) * this.#written && performance.now() < endsAt) await sleep(100)
  }

  async #untilAllDelivered(): Promise<void> {
    const { say } = this.#options
    const letters = this.#followLetters()
    let [before, changedAt, saidAt] = [-1, performance.now(), 0]
    while (this.#missing > 0) {
      await sleep(200)
      const now = performance.now()
      if (this.#missing !== before) [before, changedAt] = [this.#missing, now]
      if (now - saidAt > 10_000) {
        say(`missing: ${this.#missing}`)
        saidAt = now
      }
      if (now - changedAt < STUCK_MS) continue
      this.#problems.push(`missing: ${this.#endpoint.history.missing.slice(0, 20).join()} of ${this.#missing}`)
      for (const gateway of this.#gateways) this.#problems.push(await stateOf(gateway))
      break
    }
    await letters.end()
  }

  #followLetters() {
    const { history } = this.#endpoint
    const reader = this.#castellan.read(this.#dead, { follow: true })
    const read = (async () => {
      for await (const { headers } of reader)
        history.gaveUp(String(headers.find(({ key }) => key === 'castellan-webhook-id')?.value))
    })()
    return {
      end: async () => {
        await reader.return?.()
        await read
      }
    }
  }

  async #check(): Promise<void> {
    const { history } = this.#endpoint
    const note = (what: string, ids: readonly string[]): void => {
      if (ids.length > 0) this.#problems.push(`${what}: ${ids.length}, such as ${ids.slice(0, 5).join('; ')}`)
    }
    note('ids that stand for several records', history.confused)
    note('records that were sent before an earlier one of their key was settled', history.early)
    note(
      'dead letters for no reason',
      [...history.dead].filter(id => history.valueOf(id) !== POISON)
    )
    if (this.#problems.length > 0) return
    const { groups } = this.#castellan.verbs
    const startedAt = performance.now()
    for (let lag = 1; lag > 0; await sleep(200)) {
      const offsets = (await groups.offsets(`castellan-webhook-${NAME}`, this.#topic, 10_000)) ?? []
      lag = offsets.reduce((sum, { latest, committed }) => sum + latest - (committed?.offset ?? 0), 0)
      if (lag > 0 && performance.now() - startedAt > 60_000) {
        this.#problems.push(`the lag of the group stays ${lag}`)
        return
      }
    }
  }

  async #sumOf(metric: string): Promise<number> {
    const all = await Promise.all(this.#gateways.map(gateway => gateway.metric(metric)))
    return all.reduce((sum, one) => sum + one, 0)
  }

  #figures(): object {
    const { history, deliveries } = this.#endpoint
    const attempts = [...history.attempts.values()].reduce((sum, times) => sum + times, 0)
    const twice: Record<string, number> = {}
    for (const all of deliveries.values())
      for (const [before, again] of pairsOf(all)) {
        const from = before.gateway === again.gateway ? 'by the same gateway' : 'by the other gateway'
        const why = `${this.#faultAt(again.at) ?? 'NO FAULT'}, ${from}`
        twice[why] = (twice[why] ?? 0) + 1
      }
    return {
      written: history.written.length,
      missing: history.missingCount,
      dead: history.dead.size,
      attempts,
      delivered: history.delivered.size,
      deliveredTwice: history.doubled,
      twice
    }
  }

  /** The last fault that may show at this moment. */
  #faultAt(at: number): string | undefined {
    const found = this.#healed.filter(({ from, to }) => from <= at && at <= to + AFTER_MS)
    return found.sort((one, other) => other.from - one.from)[0]?.fault
  }
}

const pairsOf = <Item>(all: readonly Item[]): [Item, Item][] => all.slice(1).map((one, at) => [all[at]!, one])

async function stateOf({ url }: Gateway): Promise<string> {
  const answer = await fetch(`${url}/webhooks/${NAME}`).catch((error: Error) => error)
  return answer instanceof Error ? answer.message : answer.text()
}
