import type { CallOptions } from './broker-client.js'

/** Creating and deleting topics; the controller does it, every broker passes it on. For the command line and tests. */
export interface TopicAdmin {
  createTopics(call: CreateTopicsCall): Promise<TopicErrorsResponse>
  deleteTopics(call: DeleteTopicsCall): Promise<TopicErrorsResponse>
}

export interface CreateTopicsCall extends CallOptions {
  readonly topics: readonly {
    readonly topic: string
    readonly partitions: number
    readonly replicationFactor: number
    readonly configs?: ReadonlyMap<string, string | null> | undefined
  }[]
  /** How long the broker may wait until the topics exist everywhere. */
  readonly brokerTimeoutMs: number
}
export interface DeleteTopicsCall extends CallOptions {
  readonly topics: readonly string[]
  readonly brokerTimeoutMs: number
}
export interface TopicErrorsResponse {
  readonly throttleTimeMs: number
  /** One per topic, 0 where it worked. */
  readonly topics: readonly {
    readonly topic: string
    readonly errorCode: number
    readonly errorMessage: string | null
  }[]
}
