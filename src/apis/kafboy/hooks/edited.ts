import type { Content } from '../content.js'
import type { ProduceMode } from '../routes.js'
import { type HookProduce, type HookReply, UNCHANGED } from './hook-calls.js'
import type { Unpacker } from './packing.js'

/** What a hook wants produced; absent contents: the body as it came. */
export interface EditedProduce {
  readonly topic: string | undefined
  readonly mode: ProduceMode | undefined
  readonly contents: readonly Content[] | undefined
  readonly isKeyed: boolean
}

/** What came of asking the edit hook. */
export type Edited =
  | { readonly type: 'produce'; readonly produce: EditedProduce }
  | { readonly type: 'reply'; readonly body: Buffer; readonly produce: EditedProduce | undefined }
  | { readonly type: 'reject'; readonly message: string }
  | { readonly type: HookFailure }

/** Why a hook has not answered: too many calls wait; it threw or its thread ended; its time was over. */
export type HookFailure = 'overloaded' | 'threw' | 'timedOut'

/** A reply that answers a call. */
export type HookAnswer = Extract<
  HookReply,
  { readonly type: 'produce' | 'reply' | 'reject' | 'threw' | 'done' | 'picked' | 'massaged' }
>

/** Keys and values in the order in which they travel. */
export const flat = (records: readonly Content[]): (Buffer | string | null)[] =>
  records.flatMap(({ key, value }) => [key, value])

/** Takes records off what travels with a reply. */
export function unpack(contents: Unpacker, count: number): readonly Content[] {
  const records: Content[] = []
  for (let at = 0; at < count; at++) records.push({ key: contents.next(), value: contents.next() })
  return records
}

const toProduce = ({ topic, mode, records, isKeyed }: HookProduce, contents: Unpacker): EditedProduce => ({
  topic,
  mode,
  contents: records === UNCHANGED ? undefined : unpack(contents, records),
  isKeyed
})

export function toEdited(answer: HookAnswer | HookFailure, contents: Unpacker): Edited {
  if (typeof answer === 'string') return { type: answer }
  switch (answer.type) {
    case 'produce':
      return { type: 'produce', produce: toProduce(answer.produce, contents) }
    case 'reply': {
      const body = contents.next()!
      return { type: 'reply', body, produce: answer.produce && toProduce(answer.produce, contents) }
    }
    case 'reject':
      return { type: 'reject', message: answer.message }
    default:
      return { type: 'threw' }
  }
}
