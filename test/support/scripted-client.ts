import { UnavailableError } from '../../src/core/errors.js'
import type { BrokerAddress, BrokerNode, Offset, RecordBatch } from '../../src/core/model.js'
import {
  type ApiCalls,
  type BrokerClient,
  type BrokerClientFactory,
  type CallName,
  calledApis,
  type FetchPartitionResponse,
  type FetchResponse,
  type MetadataResponse,
  type PartitionMetadata
} from '../../src/kafka/broker-client.js'

/** The APIs a script is kept for. */
export type ScriptedApi = CallName
type CallOf<Api extends ScriptedApi> = Parameters<BrokerClient[Api]>[0]
type ResponseOf<Api extends ScriptedApi> = Awaited<ReturnType<BrokerClient[Api]>>
/** Answers one call, or throws what the client would reject with. */
export type Reply<Api extends ScriptedApi> = (call: CallOf<Api>) => ResponseOf<Api>

/** A call that stays on the wire until it is released. */
export interface HeldCall {
  /** Resolves when the call has been made. */
  readonly arrived: Promise<void>
  release(): void
}

/**
 * Brokers whose answers are written down beforehand, per broker, API and number of the call (1, 2, 3...), as in
 * Castle's own tests. What is not in the script counts as an error; a call can be held on the wire and released.
 */
export class ScriptedCluster {
  readonly nodes: readonly BrokerNode[]
  /** Calls that nobody had scripted. Every test ends with none. */
  readonly errors: string[] = []
  readonly calls: { readonly nodeId: number; readonly api: ScriptedApi; readonly call: unknown }[] = []
  /** Connections opened, as `1 control`. */
  readonly connections: string[] = []
  /** Connecting to these is refused. */
  readonly refused = new Set<number>()
  /** Brokers do not offer these calls. */
  readonly hidden = new Set<ScriptedApi>()
  readonly #scripts = new Map<string, Map<number, Reply<ScriptedApi>>>()
  readonly #always = new Map<string, Reply<ScriptedApi>>()
  readonly #counts = new Map<string, number>()
  readonly #holds = new Map<string, { arrive(): void; readonly released: Promise<void> }>()
  readonly #open = new Set<ScriptedClient>()

  constructor(nodeIds: readonly number[]) {
    this.nodes = nodeIds.map(nodeId => ({ nodeId, host: `mock-${nodeId}`, port: 8000, rack: null }))
    // As brokers whose settings the client may not see: topics may be created.
    for (const nodeId of nodeIds) this.always(nodeId, 'describeConfigs', () => FORBIDDEN)
  }

  /** Answers call `number` of an API; metadata is counted over all brokers (`nodeId` 0). */
  on<Api extends ScriptedApi>(nodeId: number, api: Api, number: number, reply: Reply<Api>): this {
    const name = scriptName(nodeId, api)
    if (!this.#scripts.has(name)) this.#scripts.set(name, new Map())
    this.#scripts.get(name)!.set(number, reply as Reply<ScriptedApi>)
    return this
  }

  /** Answers every call that has no reply of its own. */
  always<Api extends ScriptedApi>(nodeId: number, api: Api, reply: Reply<Api>): this {
    this.#always.set(scriptName(nodeId, api), reply as Reply<ScriptedApi>)
    return this
  }

  hold(nodeId: number, api: ScriptedApi, number: number): HeldCall {
    let release = (): void => {}
    let arrive = (): void => {}
    const released = new Promise<void>(resolve => (release = resolve))
    const arrived = new Promise<void>(resolve => (arrive = resolve))
    this.#holds.set(`${scriptName(nodeId, api)}#${number}`, { arrive, released })
    return { arrived, release }
  }

  countOf(nodeId: number, api: ScriptedApi): number {
    return this.#counts.get(scriptName(nodeId, api)) ?? 0
  }

  /** Calls of one API at one broker, in order. */
  callsOf<Api extends ScriptedApi>(nodeId: number, api: Api): CallOf<Api>[] {
    return this.calls.filter(call => call.nodeId === nodeId && call.api === api).map(({ call }) => call as CallOf<Api>)
  }

  get openConnections(): number {
    return [...this.#open].filter(client => client.isConnected).length
  }

  /** Cuts every open connection to a broker. */
  cut(nodeId: number, error: Error): void {
    for (const client of [...this.#open]) if (client.nodeId === nodeId) client.cut(error)
  }

  readonly createClient: BrokerClientFactory = (address, purpose) => {
    const node = this.nodes.find(({ host, port }) => host === address.host && port === address.port)
    const client = new ScriptedClient(this, address, node?.nodeId ?? -1, purpose)
    this.#open.add(client)
    const methods = Object.keys(calledApis).map(api => [api, (call: unknown) => client.call(api as ScriptedApi, call)])
    return Object.assign(client, Object.fromEntries(methods) as ApiCalls)
  }

  async answer(nodeId: number, api: ScriptedApi, call: unknown): Promise<unknown> {
    const name = scriptName(nodeId, api)
    const number = (this.#counts.get(name) ?? 0) + 1
    this.#counts.set(name, number)
    this.calls.push({ nodeId, api, call })
    const hold = this.#holds.get(`${name}#${number}`)
    hold?.arrive()
    await hold?.released
    const reply = this.#scripts.get(name)?.get(number) ?? this.#always.get(name)
    if (!reply) {
      this.errors.push(`${name} #${number}: ${JSON.stringify(call)}`)
      throw new Error(`nobody scripted ${name} #${number}`)
    }
    return reply(call as never)
  }
}

const FORBIDDEN = { throttleTimeMs: 0, resources: [{ name: '', errorCode: 31, errorMessage: null, configs: [] }] }

const scriptName = (nodeId: number, api: ScriptedApi): string => (api === 'metadata' ? api : `${nodeId} ${api}`)

class ScriptedClient implements Omit<BrokerClient, ScriptedApi> {
  readonly address: BrokerAddress
  readonly nodeId: number
  readonly #cluster: ScriptedCluster
  readonly #purpose: string
  readonly #waiting = new Set<(error: Error) => void>()
  isConnected = false

  constructor(cluster: ScriptedCluster, address: BrokerAddress, nodeId: number, purpose: string) {
    this.#cluster = cluster
    this.address = address
    this.nodeId = nodeId
    this.#purpose = purpose
  }

  async connect(): Promise<void> {
    if (this.isConnected) return
    this.#cluster.connections.push(`${this.nodeId} ${this.#purpose}`)
    if (this.#cluster.refused.has(this.nodeId)) {
      throw new UnavailableError('brokerUnreachable', `${this.address.host} refuses`)
    }
    this.isConnected = true
  }

  offers(name: ScriptedApi): boolean {
    return this.isConnected && !this.#cluster.hidden.has(name)
  }

  async close(): Promise<void> {
    this.cut(new UnavailableError('brokerUnreachable', 'closed'))
  }

  cut(error: Error): void {
    this.isConnected = false
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
  }

  async call<Api extends ScriptedApi>(api: Api, call: unknown): Promise<ResponseOf<Api>> {
    await this.connect()
    let fail = (_: Error): void => {}
    const cut = new Promise<never>((_, reject) => (fail = reject))
    this.#waiting.add(fail)
    try {
      return (await Promise.race([this.#cluster.answer(this.nodeId, api, call), cut])) as ResponseOf<Api>
    } finally {
      this.#waiting.delete(fail)
    }
  }
}

/** `orders/0 -> 1` per line of the table: partition -> leader. */
export interface ScriptedTopic {
  readonly errorCode?: number
  readonly topicId?: string
  readonly partitions?: Readonly<Record<number, Partial<PartitionMetadata>>>
}

/** A metadata response; partitions have the leader they are given, epoch 0 and no error unless said otherwise. */
export const metadataOf = (
  nodes: readonly BrokerNode[],
  topics: Readonly<Record<string, ScriptedTopic>>
): MetadataResponse => ({
  throttleTimeMs: 0,
  brokers: nodes,
  clusterId: 'mock',
  controllerId: nodes[0]?.nodeId ?? -1,
  topics: Object.entries(topics).map(([topic, { errorCode = 0, topicId, partitions = {} }]) => ({
    topic,
    errorCode,
    topicId,
    isInternal: false,
    partitions: Object.entries(partitions).map(([partition, metadata]) => ({
      errorCode: 0,
      partition: Number(partition),
      leaderId: -1,
      leaderEpoch: 0,
      replicas: [],
      isr: [],
      offlineReplicas: [],
      ...metadata
    }))
  }))
})

/** What a scripted fetch gives for `perf/1@1000`. */
export interface ScriptedFetch {
  readonly errorCode?: number
  readonly batches?: readonly RecordBatch[]
  /** Default: behind the batches, or the offset asked for. */
  readonly nextOffset?: Offset
  readonly highWatermark?: Offset
  readonly lastStableOffset?: Offset
  readonly logStartOffset?: Offset
  readonly corruption?: FetchPartitionResponse['records']['corruption']
  readonly isLeftOut?: boolean
  /** Its watermarks are no numbers that a log can have. */
  readonly isOdd?: boolean
  readonly tooLarge?: FetchPartitionResponse['records']['tooLarge']
}

/**
 * Answers a fetch from a table by `topic/partition@offset`; what is asked and not in the table is an error of the test.
 * The high watermark is the end of what is returned unless said otherwise.
 */
export const fetchReply =
  (cluster: ScriptedCluster, table: Readonly<Record<string, ScriptedFetch>>): Reply<'fetch'> =>
  call => ({
    throttleTimeMs: 0,
    errorCode: 0,
    sessionId: 0,
    sizeBytes: 100,
    partitions: call.partitions.map(({ topic, partition, fetchOffset }) => {
      const name = `${topic}/${partition}@${fetchOffset}`
      const scripted = table[name]
      if (!scripted) cluster.errors.push(`nobody scripted a fetch of ${name}`)
      return toFetchPartition(topic, partition, fetchOffset, scripted ?? { errorCode: 87 })
    })
  })

function toFetchPartition(
  topic: string,
  partition: number,
  fetchOffset: Offset,
  scripted: ScriptedFetch
): FetchResponse['partitions'][number] {
  const { errorCode = 0, batches = [], corruption } = scripted
  const nextOffset = scripted.nextOffset ?? batches.at(-1)?.nextOffset ?? fetchOffset
  const highWatermark = scripted.isOdd ? undefined : (scripted.highWatermark ?? (errorCode === 0 ? nextOffset : -1))
  return {
    topic,
    partition,
    errorCode,
    highWatermark,
    lastStableOffset: scripted.lastStableOffset ?? highWatermark,
    logStartOffset: scripted.logStartOffset ?? 0,
    preferredReadReplica: -1,
    records: {
      sizeBytes: batches.reduce((sum, batch) => sum + batch.sizeBytes, 0),
      batches,
      nextOffset,
      hasPartialBatch: false,
      isLeftOut: scripted.isLeftOut ?? false,
      tooLarge: scripted.tooLarge,
      corruption
    }
  }
}

/** Answers a commit: a code per `topic/partition=offset`; what is not in the table is an error of the test. */
export const commitReply =
  (cluster: ScriptedCluster, groupId: string, table: Readonly<Record<string, number>>): Reply<'offsetCommit'> =>
  call => {
    if (call.groupId !== groupId) cluster.errors.push(`a commit of ${call.groupId} instead of ${groupId}`)
    return {
      throttleTimeMs: 0,
      partitions: call.partitions.map(({ topic, partition, offset }) => {
        const errorCode = table[`${topic}/${partition}=${offset}`]
        if (errorCode === undefined) cluster.errors.push(`nobody scripted ${groupId} ${topic}/${partition}=${offset}`)
        return { topic, partition, errorCode: errorCode ?? 87 }
      })
    }
  }

/** Answers an offset fetch with the same for all its partitions. */
export const offsetFetchReply =
  (errorCode: number, offset = -1, metadata: string | null = ''): Reply<'offsetFetch'> =>
  call => ({
    throttleTimeMs: 0,
    errorCode: 0,
    partitions: (call.partitions ?? []).map(at => ({ ...at, errorCode, offset, leaderEpoch: -1, metadata }))
  })

/** Answers ListOffsets with the same for all its partitions; `timestamp` is what must have been asked. */
export const listOffsetsReply =
  (cluster: ScriptedCluster, timestamp: number, errorCode: number, offset = -1): Reply<'listOffsets'> =>
  call => ({
    throttleTimeMs: 0,
    partitions: call.partitions.map(at => {
      if (at.timestamp !== timestamp) cluster.errors.push(`asked for ${at.timestamp} instead of ${timestamp}`)
      return { topic: at.topic, partition: at.partition, errorCode, timestampMs: -1, offset }
    })
  })

/** Names `nodeId` as the coordinator of whatever is asked for. */
export const coordinatorReply =
  (cluster: ScriptedCluster, nodeId: number, errorCode = 0): Reply<'findCoordinator'> =>
  () => ({
    throttleTimeMs: 0,
    errorCode,
    errorMessage: null,
    coordinator: cluster.nodes.find(node => node.nodeId === nodeId) ?? { nodeId: -1, host: '', port: -1, rack: null }
  })
