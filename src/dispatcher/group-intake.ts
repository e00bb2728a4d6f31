import type { AnyAccepted } from '../processors/accepted.js'
import { CommitConsumerOffsetProcessor } from '../processors/commit-consumer-offset.js'
import { FetchConsumerOffsetProcessor, type GroupProcessorOptions } from '../processors/fetch-consumer-offset.js'
import type { MayGo } from '../processors/group-queue.js'
import { GroupTurns } from '../processors/group-turns.js'
import type { Intake, QueueProcessor } from '../processors/queue-processor.js'

/** The first one, and one for groups that are slow. */
const LEAST_CONNECTIONS = 2

export interface GroupIntakeOptions extends GroupProcessorOptions {
  /** Connections to one broker for group calls. */
  readonly maxGroupConnections: number
  readonly slowGroupCallMs: number
}

/** A processor whose calls are each made for one group. */
type GroupProcessor = QueueProcessor<{ readonly groupId: string }, never> & {
  isEmptyFor(mayGo: MayGo): boolean
  nextCall(mayGo: MayGo): { readonly groupId: string } | undefined
}

/**
 * Commits and offset fetches of all groups that one broker coordinates. All connections share the queues, and take from
 * them for such groups as may use them.
 */
export class GroupIntake implements Intake {
  /** Per connection, in the order of their turns. */
  readonly processors: readonly (readonly QueueProcessor[])[]
  readonly #fetch: FetchConsumerOffsetProcessor
  readonly #commit: CommitConsumerOffsetProcessor
  #look = (): void => {}

  constructor(options: GroupIntakeOptions) {
    this.#fetch = new FetchConsumerOffsetProcessor(options)
    this.#commit = new CommitConsumerOffsetProcessor(options)
    const processors = [this.#fetch, this.#commit] as unknown as readonly GroupProcessor[]
    const turns = new GroupTurns(options.slowGroupCallMs, () => this.#look())
    const connections = Math.max(options.maxGroupConnections, LEAST_CONNECTIONS)
    this.processors = Array.from({ length: connections }, (_, at) =>
      processors.map(processor => inTurns(processor, turns, at === 0))
    )
  }

  onReady(look: () => void): void {
    this.#look = look
  }

  answerFromCache(): boolean {
    return false
  }

  shareOf(request: AnyAccepted): string | undefined {
    return isGroupRequest(request) ? request.request.groupId : undefined
  }

  addToQueue(request: AnyAccepted): void {
    if (request.kind === 'fetchConsumerOffset') this.#fetch.addToQueue(request)
    else if (request.kind === 'commitConsumerOffset') this.#commit.addToQueue(request)
    else throw new Error(`${request.kind} is no operation of a group`)
  }

  drain(): AnyAccepted[] {
    return [...this.#fetch.drain(), ...this.#commit.drain()]
  }
}

const isGroupRequest = (request: AnyAccepted) =>
  request.kind === 'fetchConsumerOffset' || request.kind === 'commitConsumerOffset'

/** A processor as one connection sees it: only the groups count that may use it. */
function inTurns(processor: GroupProcessor, turns: GroupTurns, isFirst: boolean): QueueProcessor {
  const mayGo: MayGo = Object.assign((groupId: string) => turns.mayGo(groupId, isFirst), {
    few: () => turns.few(isFirst)
  })
  const queue: QueueProcessor<{ readonly groupId: string }, never> = {
    name: processor.name,
    get isEmpty() {
      return processor.isEmptyFor(mayGo)
    },
    nextCall() {
      const call = processor.nextCall(mayGo)
      if (call) turns.began(call.groupId, isFirst)
      return call
    },
    send: (client, call) => processor.send(client, call),
    processResponse(call, response) {
      turns.ended(call.groupId)
      return processor.processResponse(call, response)
    },
    callFailed(call, error, sent) {
      turns.ended(call.groupId)
      return processor.callFailed(call, error, sent)
    }
  }
  return queue as unknown as QueueProcessor
}
