import type { KafkaRecord } from '../../src/core/model.js'
import { askRouter } from '../../src/index.js'
import { type Answer, PixyGateway } from '../apis/kafka-pixy/stage.js'
import { GroupInstance } from './group-instance.js'
import { freshTopic, type TargetCluster, targetCluster } from './target-cluster.js'

/** Commits are quick, so that tests are; no topic is created by writing to it. */
export const QUICK_COMMITS = { 'delivery.createTopics': 'false', 'advanced.consumer.commitIntervalMs': '20' }

/** Kafka-Pixy's API over the embedded broker or real Kafka, with another client to look at what is in the log. */
export class PixyStage {
  readonly cluster: TargetCluster
  readonly pixy: PixyGateway
  readonly #settings: Readonly<Record<string, string>>
  readonly #library: GroupInstance
  readonly #others: PixyGateway[] = []

  private constructor(
    cluster: TargetCluster,
    pixy: PixyGateway,
    library: GroupInstance,
    settings: Readonly<Record<string, string>>
  ) {
    this.cluster = cluster
    this.pixy = pixy
    this.#library = library
    this.#settings = settings
  }

  static async open(settings: Readonly<Record<string, string>> = {}): Promise<PixyStage> {
    const cluster = await targetCluster()
    const all = { ...QUICK_COMMITS, ...settings }
    const pixy = await PixyGateway.at(cluster.bootstrap, all)
    return new PixyStage(cluster, pixy, await GroupInstance.start(cluster.bootstrap), all)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#others, this.pixy, this.#library].map(each => each.stop()))
    await this.cluster.close()
  }

  /** A further process, which stops with the others at the latest. */
  async another(settings: Readonly<Record<string, string>> = {}): Promise<PixyGateway> {
    const pixy = await PixyGateway.at(this.cluster.bootstrap, { ...this.#settings, ...settings })
    const other = Object.assign(pixy, { stop: once(() => PixyGateway.prototype.stop.call(pixy)) })
    this.#others.push(other)
    return other
  }

  /** A topic of its own. */
  async topic(partitions: number): Promise<string> {
    const topic = freshTopic(`test.${partitions}`)
    await this.cluster.createTopic(topic, partitions)
    return topic
  }

  ends(topic: string, partitions: number): Promise<number[]> {
    return Promise.all(Array.from({ length: partitions }, (_, partition) => this.#endOf(topic, partition)))
  }

  async #endOf(topic: string, partition: number): Promise<number> {
    const request = { topicPartition: { topic, partition }, offsetType: 'latest' } as const
    const result = await askRouter(this.#library.castellan.router.ref, { type: 'fetchOffset', ...request })
    if (result.type !== 'success') throw new Error(JSON.stringify(result))
    return result.offset
  }

  /** The record at an offset; by default the last one of the partition. */
  async record(topic: string, partition: number, at?: number): Promise<KafkaRecord> {
    const offset = at ?? (await this.#endOf(topic, partition)) - 1
    const request = { topicPartition: { topic, partition }, offset }
    const result = await askRouter(this.#library.castellan.router.ref, { type: 'fetchData', ...request })
    if (result.type !== 'success') throw new Error(JSON.stringify(result))
    return result.batch.at(0)
  }

  /** What a group has committed: `7 1-4,6-8`. */
  committed(group: string, topic: string, partition: number): Promise<string> {
    return this.#library.committed(group, topic, partition)
  }
}

/** Asks until the answer is as it should be; the test's own time limit ends it. */
export async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise(resolve => setTimeout(resolve, 10))
}

export const jsonOf = <Value>({ body }: Answer): Value => JSON.parse(body) as Value

function once<Result>(work: () => Promise<Result>): () => Promise<Result> {
  let result: Promise<Result> | undefined
  return () => (result ??= work())
}
