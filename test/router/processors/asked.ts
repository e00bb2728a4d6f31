import type { RoutedKind } from '../../../src/router/messages/operations.js'
import { descriptorOf } from '../../../src/router/processors/operations.js'
import type { OperationProcessor, Returned } from '../../../src/router/processors/queue-processor.js'
import type { OpenRequest } from '../../../src/router/requests/open-requests.js'
import { ProcessorStage } from './stage.js'

export const CALL_TIMEOUT_MS = 5_000

export interface Told {
  readonly type: string
  readonly [field: string]: unknown
}

/** One processor, what it would send, and what each requester is told. */
export class Asked extends ProcessorStage {
  readonly kind: RoutedKind
  readonly processor: OperationProcessor
  readonly told: Told[][] = []
  readonly sent: { readonly api: string; readonly call: unknown }[] = []
  admitted: readonly string[] = []
  /** Topics whose creation waits. */
  waiting: readonly string[] = []
  readonly metadata: unknown[] = []

  /** @param tags of the dispatcher besides its own, such as the id of its broker */
  constructor(kind: RoutedKind, tags: Readonly<Record<string, string>> = {}) {
    super()
    this.kind = kind
    const { createProcessor } = descriptorOf(kind) as unknown as {
      createProcessor(context: object): OperationProcessor
    }
    this.processor = createProcessor({
      callTimeoutMs: CALL_TIMEOUT_MS,
      metrics: this.metrics,
      tags: { ...this.tags, ...tags },
      isolationLevel: 'readUncommitted',
      admitCreations: (topics: readonly string[]) => topics.filter(topic => this.admitted.includes(topic)),
      waitsForCreation: (topic: string) => this.waiting.includes(topic),
      onMetadata: (response: unknown) => this.metadata.push(response)
    })
  }

  ask(request: object): OpenRequest {
    const results: Told[] = []
    this.told.push(results)
    const accepted = this.accept(this.kind, request as never, results as never) as unknown as OpenRequest
    this.processor.addToQueue(accepted)
    return accepted
  }

  /** Sends the next call; its answer comes by {@link settle}. */
  async next(): Promise<unknown> {
    const call = this.processor.nextCall()
    if (call === undefined) return undefined
    const client = new Proxy(
      {},
      { get: (_, api) => async (sent: unknown) => void this.sent.push({ api: String(api), call: sent }) }
    )
    await this.processor.send(client as never, call)
    return call
  }

  async settle(response: object): Promise<readonly Returned[]> {
    return this.processor.processResponse(await this.next(), { throttleTimeMs: 0, ...response })
  }
}

export const retried = (requests: readonly OpenRequest[]): readonly Returned[] => [{ reason: 'retryLater', requests }]
