import type { MayGo } from '../processors/group-queue.js'
import { GroupTurns } from '../processors/group-turns.js'
import { operationsOf } from '../processors/operations.js'
import type { ProcessorContext } from '../processors/processor-context.js'
import type { Admission, QueueProcessor } from '../processors/queue-processor.js'
import type { AnyAccepted } from '../requests/accepted.js'
import { groupIdOf } from '../requests/targets.js'

/** The first one, and a spare one for slow groups. */
const LEAST_CONNECTIONS = 2

export interface GroupAdmissionOptions {
  /** Connections to one broker for group calls. */
  readonly maxGroupConnections: number
  readonly slowGroupCallMs: number
}

/** A processor whose calls are each made for one group. */
type GroupProcessor = QueueProcessor<{ readonly groupId: string }, never> & {
  addToQueue(request: AnyAccepted): void
  isEmptyFor(mayGo: MayGo): boolean
  nextCall(mayGo: MayGo): { readonly groupId: string } | undefined
  drain(): AnyAccepted[]
}

/**
 * The operations of all groups that one broker coordinates. All connections share the queues; each takes requests of the
 * groups that may use it.
 */
export class GroupAdmission implements Admission {
  /** Per connection, in the order of their turns. */
  readonly processors: readonly (readonly QueueProcessor[])[]
  readonly #processorOf: ReadonlyMap<string, GroupProcessor>
  #look = (): void => {}

  constructor(context: ProcessorContext, { maxGroupConnections, slowGroupCallMs }: GroupAdmissionOptions) {
    this.#processorOf = new Map(
      operationsOf('group').map(({ kind, createProcessor }) => [
        kind,
        createProcessor(context) as unknown as GroupProcessor
      ])
    )
    const turns = new GroupTurns(slowGroupCallMs, () => this.#look())
    const connections = Math.max(maxGroupConnections, LEAST_CONNECTIONS)
    this.processors = Array.from({ length: connections }, (_, at) =>
      Array.from(this.#processorOf.values(), processor => inTurns(processor, turns, at === 0))
    )
  }

  onReady(look: () => void): void {
    this.#look = look
  }

  answerFromCache(): boolean {
    return false
  }

  shareOf(request: AnyAccepted): string | undefined {
    return groupIdOf(request)
  }

  addToQueue(request: AnyAccepted): void {
    this.#processorOf.get(request.kind)!.addToQueue(request)
  }

  drain(): AnyAccepted[] {
    return Array.from(this.#processorOf.values(), processor => processor.drain()).flat()
  }
}

/** A processor as one connection sees it: with the requests of groups that may use the connection. */
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
