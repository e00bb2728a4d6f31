import type { RecordOutcome } from '../../../core/model.js'
import type { Content } from '../content.js'
import type { Ekaf } from '../ekaf/ekaf.js'
import { toldOf } from '../record-answers.js'
import type { ProduceMode } from '../routes.js'
import type { KafboyOutcome } from './hooks.js'

/** What a hook asks of the producer by itself. */
export function producerForHooks(
  ekaf: Ekaf,
  topic: string,
  mode: ProduceMode,
  contents: readonly Content[],
  settle: ((outcomes: readonly KafboyOutcome[]) => void) | undefined
): void {
  if (contents.length === 0) settle?.([])
  else if (settle === undefined) ekaf.accept(topic, contents, mode === 'batchAsync', () => {})
  else {
    ekaf.produce(topic, contents, 'sync', pendingProduce => {
      void pendingProduce.outcomes().then(outcomes => settle(outcomes.map(toKafboyOutcome)))
    })
  }
}

const toKafboyOutcome = (outcome: RecordOutcome): KafboyOutcome =>
  outcome.type === 'delivered'
    ? { type: 'sent', partition: outcome.partition, offset: outcome.offset }
    : { type: 'failed', error: toldOf(outcome, true).error }
