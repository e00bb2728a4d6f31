import { ActorSystem, ask } from '../../src/core/actor/actor.js'
import { defaultLogger } from '../../src/core/metrics/metrics-logger.js'
import {
  type KafkaRecord,
  type Logger,
  type Offset,
  type ProduceRecord,
  type RecordOutcome,
  silentLogger
} from '../../src/core/model.js'
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import type { BrokerClient } from '../../src/kafka/broker-client.js'
import { createBrokerClientFactory } from '../../src/kafka/broker-client-factory.js'
import type { Delivery } from '../../src/producer/memory/delivery.js'
import { startDelivery } from '../../src/producer/memory/memory-delivery.js'
import { type DeliverySettings, topicSettingsOf } from '../../src/producer/memory/settings.js'
import type { FetchDataResult } from '../../src/router/messages/operations.js'
import { type RouterHandle, startRouter } from '../../src/router/routing/router.js'
import type { RouterSettingsOverrides } from '../../src/router/routing/settings.js'
import { KafkaVerbs } from '../../src/verbs/kafka-verbs.js'
import { type TargetCluster, targetCluster } from './target-cluster.js'

const answerTimeoutMs = 60_000

export interface CastellanOptions {
  readonly createTopics?: boolean
  readonly delivery?: Partial<DeliverySettings>
  readonly router?: RouterSettingsOverrides
  readonly log?: Logger
  /** The wall clock. */
  readonly now?: () => number
  /** The monotonic clock. */
  readonly clock?: () => number
  /** Default 5 s. */
  readonly connectTimeoutMs?: number
  /** Sees each client of a broker before the Router does. */
  readonly onClient?: (client: BrokerClient) => void
}

/** A process that is a member of no group. */
const NO_GROUPS = {
  setOffsets: async () => ({ type: 'notRead' }),
  beginningOf: () => ({ atEarliest: false, positions: new Map() })
}

/** Router, delivery and verbs as the app builds them, in this process and without HTTP. */
export class Castellan {
  readonly verbs: KafkaVerbs

  constructor(
    readonly router: RouterHandle,
    readonly delivery: Delivery,
    readonly system: ActorSystem
  ) {
    this.verbs = new KafkaVerbs({
      delivery,
      groups: NO_GROUPS as never,
      instances: {} as never,
      router: router.ref,
      isReady: () => router.isReady
    })
  }

  /** One call of `verbs.produce`; the outcomes are those of its records, in order. */
  produce(records: readonly ProduceRecord[]): Promise<readonly RecordOutcome[]> {
    return this.verbs.produce(records, { partitioner: 'crc32', deadlineMs: answerTimeoutMs }).outcomes()
  }

  /** One FetchData request. */
  fetchData(topic: string, partition: number, offset: Offset): Promise<FetchDataResult> {
    return ask<FetchDataResult>(`${topic}/${partition}@${offset}`, answerTimeoutMs, requester => {
      this.router.ref.tell({ type: 'fetchData', requester, topicPartition: { topic, partition }, offset })
    })
  }

  /** Asks on until there are `count` records, by offset. What a reader of a moving partition does. */
  async read(topic: string, partition: number, count: number, offset: Offset = 0): Promise<Map<Offset, KafkaRecord>> {
    const records = new Map<Offset, KafkaRecord>()
    let deadline = performance.now() + answerTimeoutMs
    while (records.size < count) {
      const result = await this.fetchData(topic, partition, offset)
      if (result.type === 'success') {
        for (const record of result.batch) records.set(record.offset, record)
        offset = result.batch.nextOffset
        deadline = performance.now() + answerTimeoutMs
      } else if (result.type !== 'noMessages' && result.type !== 'timedOut') {
        throw new Error(`${topic}/${partition}@${offset} was answered ${JSON.stringify(result)}`)
      }
      if (performance.now() > deadline) throw new Error(`${records.size} of ${count} records in ${topic}/${partition}`)
    }
    return records
  }

  /** The values of the first records as texts. */
  async texts(topic: string, partition: number, count: number): Promise<string[]> {
    return [...(await this.read(topic, partition, count)).values()].map(({ value }) => String(value))
  }

  /** Everything up to where FetchData says that nothing has been written yet. */
  async readAll(topic: string, partition: number): Promise<KafkaRecord[]> {
    const records: KafkaRecord[] = []
    for (let offset = 0; ; ) {
      const result = await this.fetchData(topic, partition, offset)
      if (result.type === 'noMessages') return records
      if (result.type !== 'success')
        throw new Error(`${topic}/${partition}@${offset} was answered ${JSON.stringify(result)}`)
      records.push(...result.batch)
      offset = result.batch.nextOffset
    }
  }

  /** @returns how many records were lost by closing */
  async close(timeoutMs = 10_000): Promise<number> {
    const lost = await this.delivery.close(timeoutMs)
    await this.router.stop()
    this.system.stop()
    return lost
  }
}

/** Starts it against a cluster; it connects by itself. */
export function startCastellan(bootstrap: string, options: CastellanOptions = {}): Castellan {
  const { createTopics = true, log = silentLogger, now = Date.now, clock = () => performance.now() } = options
  const system = new ActorSystem()
  const common = { clock, random: Math.random, log, metrics: defaultLogger }
  const settings = { createTopics, ...options.delivery }
  const createClient = createBrokerClientFactory({
    clientId: 'castellan-test',
    requestTimeoutMs: 10_000,
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    log
  })
  let delivery: Delivery | undefined
  const router = startRouter({
    ...common,
    system,
    createClient: (...of) => {
      const client = createClient(...of)
      options.onClient?.(client)
      return client
    },
    bootstrap: bootstrap.split(',').map(address => {
      const [host = '', port] = address.split(':')
      return { host, port: Number(port) }
    }),
    settings: { ...topicSettingsOf(settings), ...options.router },
    delivery: { produce: request => delivery?.produce(request) },
    onClusterChanged: change => delivery?.clusterChanged(change),
    onFatal: error => {
      throw error
    }
  })
  delivery = startDelivery({ ...common, router: router.ref, now, settings })
  return new Castellan(router, delivery, system)
}

/** A {@link Castellan} with an embedded cluster of its own. */
export interface EmbeddedStack extends Pick<Castellan, 'verbs' | 'delivery' | 'router'> {
  readonly cluster: EmbeddedCluster
  close(): Promise<void>
}

export async function startEmbeddedStack(options?: EmbeddedClusterOptions): Promise<EmbeddedStack> {
  const cluster = await startEmbeddedCluster(options)
  const castellan = startCastellan(cluster.bootstrap)
  const { verbs, delivery, router } = castellan
  const close = async () => {
    await castellan.close(0)
    await cluster.close()
  }
  return { verbs, delivery, router, cluster, close }
}

/** In a `describe` block: a cluster to test against and a {@link Castellan} on it, for all tests of the block. */
export function onTargetCluster(options?: CastellanOptions): {
  readonly cluster: TargetCluster
  readonly castellan: Castellan
} {
  const on = {} as { cluster: TargetCluster; castellan: Castellan }
  before(async () => {
    on.cluster = await targetCluster()
    on.castellan = startCastellan(on.cluster.bootstrap, options)
  })
  after(async () => {
    await on.castellan?.close()
    await on.cluster?.close()
  })
  return on
}
