import { operationsOf } from '../processors/operations.js'
import type { ProcessorContext } from '../processors/processor-context.js'
import type { Admission, OperationProcessor } from '../processors/queue-processor.js'
import type { AnyAccepted } from '../requests/accepted.js'

/** The operations of one role, which share one connection in turn. */
export class SharedAdmission implements Admission {
  readonly processors: readonly OperationProcessor[]
  readonly #processorOf: ReadonlyMap<string, OperationProcessor>

  constructor(role: 'control' | 'member', context: ProcessorContext) {
    const entries = operationsOf(role).map(
      ({ kind, createProcessor }) => [kind, createProcessor(context) as OperationProcessor] as const
    )
    this.#processorOf = new Map(entries)
    this.processors = entries.map(([, processor]) => processor)
  }

  answerFromCache(): boolean {
    return false
  }

  addToQueue(request: AnyAccepted): void {
    this.#processorOf.get(request.kind)!.addToQueue(request)
  }

  drain(): AnyAccepted[] {
    return this.processors.flatMap(processor => processor.drain())
  }
}
