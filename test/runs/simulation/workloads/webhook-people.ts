import type { SeededRandom } from '../../../support/random.js'
import type { HttpGateway } from '../http-gateway.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { Client } from './client.js'
import { HttpConnection, type HttpResponse, requestText } from './http-connection.js'
import { noteFirst, placeOf, type WebhookFacts } from './webhook-facts.js'

/** A definition as the configuration has it. */
export interface DefinedWebhook {
  topic: string
  url: string
  paused: boolean
  maxInFlight: number
  maxAttempts: number
  readonly [other: string]: string | number | boolean
}

/** Dotted path => text. */
export const settingsOf = (definitions: Readonly<Record<string, DefinedWebhook>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(definitions).flatMap(([name, definition]) =>
      Object.entries(definition).map(([member, value]) => [`webhooks.definitions.${name}.${member}`, String(value)])
    )
  )

export interface WebhookPeopleOptions {
  readonly name: string
  readonly gateways: readonly HttpGateway[]
  /** Changed by them, at all gateways. */
  readonly definitions: Readonly<Record<string, DefinedWebhook>>
}

export interface WebhookPeopleDeps {
  readonly host: Host
  readonly facts: ReadonlyMap<string, WebhookFacts>
  readonly random: SeededRandom
  now(): number
  onHost(action: () => void): void
}

const PAUSE_MS = [500, 4_000] as const
/** When endpoints are well again. The last time is when all that was under way has ended. */
const LAST_ROUNDS = 4
const LAST_ROUND_EVERY_MS = 8_000
const OK = 200

interface Told {
  readonly gateways: readonly {
    readonly partitions: readonly {
      readonly partition: number
      readonly oldest: { readonly offset: number; readonly attempts: number } | null
    }[]
  }[]
}

/** Those who look after webhooks: they change definitions, skip records, resume; and others who take the group for one of theirs. */
export class WebhookPeople extends Client<WebhookPeopleOptions, WebhookPeopleDeps> implements Workload {
  readonly counts: Record<string, number> = { changes: 0, skips: 0 }
  #rounds = 0

  get isFinished(): boolean {
    return this.#rounds >= LAST_ROUNDS
  }

  start(): void {
    setTimeout(
      () => {
        if (this.isStopped) return
        this.#act()
        this.start()
      },
      this.deps.random.between(...PAUSE_MS)
    )
  }

  override stop(): void {
    super.stop()
    this.deps.onHost(() => this.#round())
  }

  tryOnceMore(succeeded: () => void): void {
    succeeded()
  }

  /** Endpoints are well: all goes on. */
  #round(): void {
    const { definitions, gateways } = this.options
    for (const definition of Object.values(definitions)) definition.paused = false
    this.#configure()
    for (const name of Object.keys(definitions)) for (const gateway of gateways) this.#resume(name, gateway)
    setTimeout(() => {
      if (++this.#rounds < LAST_ROUNDS) this.#round()
    }, LAST_ROUND_EVERY_MS)
  }

  #act(): void {
    const { random } = this.deps
    const { definitions, gateways } = this.options
    const name = random.pick(Object.keys(definitions))
    const gateway = random.pick(gateways)
    const acts = [
      () => this.#skip(name, gateway),
      () => this.#skip(name, gateway),
      () => this.#resume(name, gateway),
      () => this.#test(name, gateway),
      () => this.#change(name),
      () => this.#steal(name, gateway)
    ]
    random.pick(acts)()
  }

  #change(name: string): void {
    const { random, facts, now } = this.deps
    const definition = this.options.definitions[name]!
    const of = facts.get(name)!
    this.counts.changes!++
    const changes = [
      () => (definition.paused = !definition.paused),
      () => (definition.maxInFlight = random.pick([1, 2, 5, 16])),
      () => (definition.maxAttempts = random.pick([2, 3, 5])),
      () => {
        definition.url = definition.url.replace(/\d*$/, String(random.between(1, 99)))
        of.freshAt.push(now())
      }
    ]
    random.pick(changes)()
    of.maxInFlight = Math.max(of.maxInFlight, definition.maxInFlight)
    of.maxAttempts = Math.min(of.maxAttempts, definition.maxAttempts)
    this.#configure()
  }

  #configure(): void {
    const settings = settingsOf(this.options.definitions)
    for (const gateway of this.options.gateways) void gateway.configure(settings)
  }

  #resume(name: string, gateway: HttpGateway): void {
    this.deps.facts.get(name)!.freshAt.push(this.deps.now())
    this.#call('resume', gateway, requestText('POST', `/webhooks/${name}/resume`, ''), () => undefined)
  }

  #test(name: string, gateway: HttpGateway): void {
    this.#call('test', gateway, requestText('POST', `/webhooks/${name}/test`, ''), () => undefined)
  }

  /** The oldest open record of a partition. */
  #skip(name: string, gateway: HttpGateway): void {
    const { facts, random, now } = this.deps
    const of = facts.get(name)!
    this.#call('look', gateway, requestText('GET', `/webhooks/${name}`), response => {
      if (response?.status !== OK) return
      const told = JSON.parse(response.body) as Told
      const open = told.gateways
        .flatMap(({ partitions }) => partitions)
        .flatMap(({ partition, oldest }) => (oldest === null ? [] : [{ partition, ...oldest }]))
        .filter(({ attempts }) => attempts > 0)
      if (open.length === 0) return
      const { partition, offset } = random.pick(open)
      const place = placeOf(partition, offset)
      const askedAt = now()
      of.skips.add(place)
      noteFirst(of.skipped, place, askedAt)
      const body = JSON.stringify({ partition, offset })
      this.#call('skip', gateway, requestText('POST', `/webhooks/${name}/skip`, body), answer => {
        if (answer?.status === OK) this.counts.skips!++
        // Without an answer it may have been done.
        else if (answer !== undefined && of.skipped.get(place) === askedAt) of.skipped.delete(place)
      })
    })
  }

  /** Another client reads for the group of a webhook, or acknowledges: that is refused. */
  #steal(name: string, gateway: HttpGateway): void {
    const { facts, random } = this.deps
    const { topic, group, position } = facts.get(name)!
    const partition = random.between(0, 1)
    const offset = (position.get(partition) ?? 0) + random.between(0, 3)
    const paths = [
      requestText('GET', `/pixy/topics/${topic}/messages?group=${group}`),
      requestText('POST', `/pixy/topics/${topic}/acks?group=${group}&partition=${partition}&offset=${offset}`, '')
    ]
    this.#call('steal', gateway, random.pick(paths), response => {
      if (response !== undefined && response.status < 400) this.violated('stolen', `${group} ${response.status}`)
    })
  }

  #call(what: string, gateway: HttpGateway, text: string, onEnd: (response: HttpResponse | undefined) => void): void {
    let isOver = false
    const over = (response?: HttpResponse): void => {
      if (isOver) return
      isOver = true
      connection.end()
      const said = `${what} ${response?.status ?? 'without answer'}`
      this.counts[said] = (this.counts[said] ?? 0) + 1
      onEnd(response)
    }
    const connection = new HttpConnection('127.0.0.1', gateway.port, { onResponse: over, onClose: over })
    connection.send(text)
  }
}
