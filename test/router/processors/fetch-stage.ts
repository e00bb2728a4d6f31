import { expect } from 'chai'
import { type PartitionIdentity, UNKNOWN_IDENTITY } from '../../../src/core/model.js'
import type { BrokerClient, FetchCall, FetchResponse } from '../../../src/kafka/broker-client.js'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import { FetchAdmission } from '../../../src/router/processors/fetch-data.js'
import type { FetchDataCall } from '../../../src/router/processors/fetch-lines.js'
import { MessageCache } from '../../../src/router/processors/message-cache.js'
import { ReadCache } from '../../../src/router/processors/read-cache.js'
import type { OpenRequest } from '../../../src/router/requests/open-requests.js'
import { FakeBatch } from '../../support/fake-batch.js'
import { fetchReply, ScriptedCluster, type ScriptedFetch } from '../../support/scripted-client.js'
import { ProcessorStage } from './stage.js'

export const T16 = { topic: 'perf', partition: 16 }
export const B = { topic: 'api', partition: 17 }

/** A fetch processor whose calls are answered by hand. */
export class FetchStage extends ProcessorStage {
  readonly cache = new MessageCache({ maxBytes: 10_000_000, bufferBytes: 498_452, concat: FakeBatch.concat })
  readonly readCache: ReadCache
  readonly fetch: FetchAdmission
  readonly #cluster = new ScriptedCluster([1])

  constructor(
    fetchMaxWaitMs = 0,
    isolationLevel: 'readUncommitted' | 'readCommitted' = 'readUncommitted',
    maxPartitionsPerCall = 3
  ) {
    super()
    this.readCache = new ReadCache({
      cache: this.cache,
      isolationLevel,
      concat: FakeBatch.concat,
      metrics: this.metrics
    })
    this.fetch = new FetchAdmission(this.readCache, {
      now: () => this.now,
      metrics: this.metrics,
      tags: this.tags,
      fetchMaxWaitMs,
      fetchBufferBytes: 498_452,
      fetchMaxBytes: 1_000_000,
      maxPartitionsPerCall,
      callTimeoutMs: 5_000
    })
  }

  ask(
    offset: number,
    topicPartition = T16,
    results: FetchDataResult[] = [],
    maxWaitMs?: number,
    maxBytes?: number
  ): FetchDataResult[] {
    const request = this.accept('fetchData', { topicPartition, offset, maxWaitMs, maxBytes }, results)
    request.identity = this.identity
    this.fetch.addToQueue(request)
    return results
  }

  /** Of the requests to come. */
  identity: PartitionIdentity = UNKNOWN_IDENTITY

  /** Gives a request back as the Router does. */
  again(request: OpenRequest): void {
    request.identity = this.identity
    if (!this.fetch.answerFromCache(request)) this.fetch.addToQueue(request)
  }

  /** What the cache answers. */
  hit(offset: number, topicPartition = T16): number[] | undefined {
    const results: FetchDataResult[] = []
    const request = this.accept('fetchData', { topicPartition, offset }, results)
    request.identity = this.identity
    return this.fetch.answerFromCache(request) ? (offsetsOf(results[0]) as number[]) : undefined
  }

  issue(slot: 'catchUp' | 'tail' = 'catchUp'): FetchDataCall {
    return this.fetch[slot].nextCall() as FetchDataCall
  }

  /** The next call of a slot, and what it asks the broker for. */
  async send(slot: 'catchUp' | 'tail' = 'catchUp'): Promise<[FetchDataCall, FetchCall]> {
    const asked: FetchCall[] = []
    const client = { fetch: async (call: FetchCall) => asked.push(call) } as unknown as BrokerClient
    const call = this.issue(slot)
    await this.fetch[slot].send(client, call)
    return [call, asked[0]!]
  }

  /** Answers a long poll in a session, with the partitions that the table names by `topic/partition@offset`. */
  tell(
    call: FetchDataCall,
    sessionId: number,
    table: Readonly<Record<string, ScriptedFetch>> = {},
    head: Partial<FetchResponse> = {}
  ) {
    const partitions = Object.keys(table).map(name => {
      const [, topic, partition, fetchOffset] = /^(.+)\/(\d+)@(\d+)$/.exec(name)!
      return { topic, partition: Number(partition), fetchOffset: Number(fetchOffset) }
    })
    const response = fetchReply(this.#cluster, table)({ partitions } as unknown as FetchCall) as FetchResponse
    return this.fetch[call.slot].processResponse(call, { ...response, sessionId, ...head })
  }

  answer(call: FetchDataCall, table: Readonly<Record<string, ScriptedFetch>>) {
    const partitions = [...call.partitions.values()].map(wanted => ({ ...wanted, fetchOffset: wanted.position }))
    const response = fetchReply(this.#cluster, table)({ partitions } as unknown as FetchCall) as FetchResponse
    const returned = this.fetch[call.slot].processResponse(call, response)
    expect(this.#cluster.errors).to.deep.equal([])
    return returned
  }
}

export const offsetsOf = (result: FetchDataResult | undefined): number[] | string | undefined =>
  result?.type === 'success' ? [...result.batch].map(record => record.offset) : result?.type
