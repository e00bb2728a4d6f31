import { Agent } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Children, Gateway } from '../../cli/child.js'
import { FrontProxy, type ProxyKind } from '../../http/engine/proxies.js'
import { HoldingProxy } from '../../support/holding-proxy.js'
import { metricOf } from '../../support/test-app.js'
import { freePorts } from '../real-kafka/ports.js'
import { ask, kindOf } from './two-gateways.js'

const PATIENCE_MS = 60_000
/** The group has had the same partitions for this long. */
const SETTLED_MS = 2_000

const timesOf = (environment: Readonly<Record<string, string>>): Record<string, string> => ({
  CASTELLAN_SHUTDOWN_DRAIN_MS: '0',
  CASTELLAN_CONSUMER_SUBSCRIPTION_TIMEOUT_MS: '60000',
  CASTELLAN_CONSUMER_SESSION_TIMEOUT_MS: '6000',
  ...environment
})

/** nginx that sends each request to the next one of these gateways, and repeats none. */
const roundRobin = (hosts: readonly string[]): ProxyKind => {
  const nginx = kindOf('nginx')
  return {
    ...nginx,
    config: (folder, backend) =>
      nginx
        .config(folder, backend)
        .replace(/upstream gateway \{[^}]*\}/, () => {
          const servers = hosts.map(host => `server ${host} max_fails=0;`)
          return `upstream gateway { ${servers.join(' ')} keepalive 64; }`
        })
        .replace('proxy_next_upstream off;', 'proxy_next_upstream off;\nproxy_read_timeout 120s;')
  }
}

/** A message that a client of a group got. */
export interface Got {
  readonly partition: number
  readonly offset: number
  readonly value: string
}

/** One answer to a request for a message. */
export interface Answer {
  readonly status: number
  readonly got: readonly Got[]
  readonly tookMs: number
}

/** Several gateways in processes of their own, which know each other by proxies of the test, behind nginx. */
export class LendingGateways {
  readonly gateways: Gateway[] = []
  /** What others send to a gateway, and what it answers, goes through its proxy. */
  readonly between: HoldingProxy[] = []
  readonly topic: string
  readonly group: string
  front!: FrontProxy
  readonly #children: Children
  readonly #agent = new Agent({ keepAlive: true })
  readonly #environment: Readonly<Record<string, string>>

  private constructor(
    children: Children,
    readonly brokers: string,
    topic: string,
    environment: Readonly<Record<string, string>>
  ) {
    this.#children = children
    this.topic = topic
    this.group = `readers-of-${topic}`
    this.#environment = timesOf(environment)
  }

  /** @param environment further settings of each gateway */
  static async start(
    children: Children,
    { brokers, topic, count }: { readonly brokers: string; readonly topic: string; readonly count: number },
    environment: Readonly<Record<string, string>> = {}
  ): Promise<LendingGateways> {
    const all = new LendingGateways(children, brokers, topic, environment)
    const ports = await freePorts(count)
    for (const port of ports) all.between.push(await HoldingProxy.start({ port }))
    const addresses = all.between.map(({ port }) => `127.0.0.1:${port}`).join(',')
    const started = ports.map((port, nth) =>
      Gateway.start(children, ['--brokers', brokers], {
        ...all.#environment,
        CASTELLAN_CLUSTERS_DEFAULT_CLIENT_ID: `gateway-${nth}`,
        CASTELLAN_PEERS_ADDRESSES: addresses,
        CASTELLAN_PEERS_LISTEN: `127.0.0.1:${port}`,
        CASTELLAN_PEERS_TOKEN: 'x'.repeat(32)
      })
    )
    all.gateways.push(...(await Promise.all(started)))
    await Promise.all(all.gateways.map(gateway => gateway.until(200)))
    const knowsAll = ({ child }: Gateway): boolean =>
      child.lines.filter(line => line.includes('there is a gateway at')).length >= count - 1
    await eventually('each gateway knows the others', async () => all.gateways.every(knowsAll))
    const hosts = all.gateways.map(({ url }) => new URL(url).host)
    all.front = await FrontProxy.start(roundRobin(hosts), new URL(all.gateways[0]!.url))
    return all
  }

  async stop(): Promise<void> {
    this.#agent.destroy()
    for (const gateway of this.gateways) gateway.child.process.kill('SIGCONT')
    await this.front.stop()
    await this.#children.stopAll()
    await Promise.all(this.between.map(proxy => proxy.close()))
  }

  /** Creates the topic. */
  async createTopic(partitions: number): Promise<void> {
    const more = ['--partitions', String(partitions), '--brokers', this.brokers]
    const created = this.#children.start(['topics', 'create', this.topic, ...more])
    if ((await created.exit()) !== 0) throw new Error(created.stderr)
  }

  /** Each gateway is asked until it is a member, has begun, and the partitions stay where they are. @returns partitions by gateway */
  async join(): Promise<readonly (readonly number[])[]> {
    const endsAt = performance.now() + PATIENCE_MS
    let last = ''
    let since = performance.now()
    while (performance.now() < endsAt) {
      await Promise.all(this.gateways.map(gateway => this.askAt(gateway)))
      const now = JSON.stringify(await this.partitions())
      if (now !== last || now.includes('[]')) since = performance.now()
      else if (performance.now() - since > SETTLED_MS) return JSON.parse(now) as readonly (readonly number[])[]
      last = now
    }
    throw new Error(`not all gateways have partitions: ${last}`)
  }

  /** The partitions that each gateway reads, as the coordinator tells it. */
  async partitions(): Promise<readonly (readonly number[])[]> {
    const url = `${this.#running.url}/pixy/topics/${this.topic}/consumers`
    const answer = await fetch(`${url}?group=${this.group}`)
    if (answer.status !== 200) return this.gateways.map(() => [])
    const byClient = ((await answer.json()) as Record<string, Record<string, readonly number[]>>)[this.group] ?? {}
    return this.gateways.map((_, nth) => byClient[`gateway-${nth}`] ?? [])
  }

  /** Writes messages, which are in Kafka when this resolves. */
  async write(partition: number, ...values: readonly string[]): Promise<void> {
    const records = values.map(data => ({ topic: this.topic, partition, data }))
    const answer = await this.#running.push({ records, wait_for_send: true })
    const text = await answer.text()
    if (answer.status !== 200 || !text.startsWith('{"status":"ok"')) throw new Error(`${answer.status} ${text}`)
  }

  /** Writes an event, which is in Kafka when this resolves. Its partition is that of its id. */
  async writeEvent(id: string): Promise<void> {
    const headers = { 'content-type': 'application/cloudevents+json' }
    const body = JSON.stringify({ specversion: '1.0', id, source: '/test', type: 'test' })
    const url = `${this.#running.url}/events/${this.topic}?key=${id}`
    const answer = await fetch(url, { method: 'POST', headers, body })
    if (answer.status !== 204) throw new Error(`${answer.status} ${await answer.text()}`)
  }

  /** Where the next message is by Kafka-Pixy's API. */
  get messagesPath(): string {
    return `/pixy/topics/${this.topic}/messages?group=${this.group}`
  }

  /** The next message by Kafka-Pixy's API through nginx. */
  async ask(more = ''): Promise<Answer> {
    return this.#pixy(`unix:${this.front.url.slice('unix:'.length)}`, more)
  }

  /** The next message by Kafka-Pixy's API at one gateway. */
  async askAt({ url }: Gateway, more = ''): Promise<Answer> {
    return this.#pixy(url, more)
  }

  /** The next event by CloudEvents' API through nginx. Its partition and offset are not told. */
  async askForEvent(): Promise<Answer> {
    const since = performance.now()
    const path = `/events/${this.topic}?group=${this.group}`
    const headers = { accept: 'application/cloudevents+json' }
    const text = await ask(this.#agent, this.front.url.slice('unix:'.length), 'GET', path, undefined, headers)
    const status = Number(text.slice(0, 3))
    const tookMs = performance.now() - since
    if (status !== 200) return { status, got: [], tookMs }
    const { id } = JSON.parse(text.slice(4)) as { id: string }
    return { status, got: [{ partition: -1, offset: -1, value: id }], tookMs }
  }

  /** Of a metric of all gateways. */
  async sumOf(name: string): Promise<number> {
    const all = await Promise.all(this.gateways.map(({ management }) => metricOf(management, name)))
    return all.reduce((sum, one) => sum + one, 0)
  }

  get #running(): Gateway {
    return this.gateways.find(({ child }) => child.isRunning)!
  }

  async #pixy(at: string, more: string): Promise<Answer> {
    const since = performance.now()
    const path = this.messagesPath + more
    const text = at.startsWith('unix:')
      ? await ask(this.#agent, at.slice('unix:'.length), 'GET', path)
      : await fetch(at + path).then(
          async answer => `${answer.status} ${await answer.text()}`,
          (error: Error) => `000 ${error.message}`
        )
    const status = Number(text.slice(0, 3))
    const tookMs = performance.now() - since
    if (status !== 200) return { status, got: [], tookMs }
    const { partition, offset, value } = JSON.parse(text.slice(4)) as Got
    return { status, got: [{ partition, offset, value: Buffer.from(value, 'base64').toString() }], tookMs }
  }
}

/** Resolves when the check holds. */
export async function eventually(what: string, check: () => Promise<boolean>): Promise<void> {
  for (const endsAt = performance.now() + PATIENCE_MS; performance.now() < endsAt; await sleep(50))
    if (await check()) return
  throw new Error(`never: ${what}`)
}
