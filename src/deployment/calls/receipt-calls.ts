import {
  type FoundReceipt,
  MAX_RECORDS_OF_ANSWER,
  type ProcessReply,
  type ReceiptQuestion,
  type RecordState
} from '../../verbs/receipts.js'
import { type Call, FEW_FOR_MANY } from './call.js'
import { flag, instant, list, MANY, number, optional, shape, tagged, text, wait, whole } from './checks.js'
import { PLACE } from './shapes.js'

export type SentQuestion = Omit<ReceiptQuestion, 'signal'>

export interface ReceiptFound {
  readonly reply?: ProcessReply
}

const mayHaveTopic = { topic: optional(text), why: text }
const recordState = tagged<'state', RecordState>('state', {
  waiting: { ...mayHaveTopic, sinceMs: optional(instant) },
  inKafka: { ...PLACE, offset: number, timestampMs: number },
  deadLetter: { topic: text, code: text, why: text },
  lost: mayHaveTopic,
  refused: {},
  unknown: { why: text }
})

const processReply = tagged<'type', NonNullable<ProcessReply>>('type', {
  found: { count: whole, from: whole, records: list(recordState, MAX_RECORDS_OF_ANSWER), isSettled: flag },
  notFound: {},
  expired: {},
  unreachable: {},
  former: {}
})
const receiptFound = shape<ReceiptFound>({ reply: optional(processReply) })

/** No more records than were asked for, nor than the receipt has. */
const isPartOf = ({ most = MAX_RECORDS_OF_ANSWER }: SentQuestion, { count, from, records }: FoundReceipt): boolean =>
  records.length <= most && from + records.length <= count

/** Whether the called process has given a receipt, and what became of its records. */
export const receipt: Call<SentQuestion, ReceiptFound> = {
  name: 'receipt',
  question: shape<SentQuestion>({
    id: text,
    principals: list(text, MANY),
    waitMs: optional(wait),
    from: optional(whole),
    most: optional(whole),
    client: optional(text),
    isPart: optional(flag)
  }),
  answer: (answer, question): answer is ReceiptFound =>
    receiptFound(answer) && (answer.reply?.type !== 'found' || isPartOf(question, answer.reply)),
  timeoutMs: 3_000,
  maxBytes: FEW_FOR_MANY
}
