import { InvalidRequestError } from '../../core/errors.js'
import { ANONYMOUS } from '../../http/access/access.js'
import type { FoundRecords, RecordQuestion } from '../../http/status/record-question.js'
import type { KafkaCluster } from './kafka.js'
import { KeySearch } from './key-search.js'

/** Receipts, as far as an operator asks for them. */
interface ReceiptReader {
  read(question: { readonly id: string; readonly principals: readonly string[] }): Promise<ReceiptReply>
}

type ReceiptReply =
  | { readonly type: 'found'; readonly records: readonly ReceiptRecord[]; readonly isSettled: boolean }
  | { readonly type: 'notFound' }
  | { readonly type: 'expired' }
  | { readonly type: 'unreachable' }

interface ReceiptRecord {
  readonly state: string
  readonly why?: string | undefined
  readonly partition?: number | undefined
  readonly offset?: number | undefined
  readonly timestampMs?: number | undefined
}

/** Records of a receipt that are named. */
const MAX_NAMED = 20

export interface FindRecordDeps {
  readonly clusters: readonly Pick<KafkaCluster, 'name' | 'router'>[]
  /** `undefined`: receipts are switched off. */
  readonly receipts?: ReceiptReader | undefined
}

/**
 * Answers the question whether a record is in Kafka.
 *
 * @throws CastellanError when Kafka does not answer, or the topic does not exist
 */
export async function findRecord(
  { clusters, receipts }: FindRecordDeps,
  question: RecordQuestion,
  principal: string
): Promise<FoundRecords> {
  if (question.by === 'receipt') {
    if (receipts === undefined) throw new InvalidRequestError('this gateway gives no receipts')
    const principals = [...new Set([principal, ANONYMOUS])]
    return ofReceipt(await receipts.read({ id: question.receipt, principals }))
  }
  const { topic, key, cluster: name = 'default' } = question
  const cluster = clusters.find(one => one.name === name)
  if (cluster === undefined) throw new InvalidRequestError(`there is no cluster ${name}`)
  return new KeySearch(cluster.router.ref, topic, key).run()
}

/** What is said of a receipt without records. */
const REPLIES = {
  notFound:
    'No such receipt was given to this client. Only the client that has sent the records can ask for its own: look by topic and key instead.',
  expired: 'What became of these records is not kept any more.',
  unreachable: 'The gateway that has given the receipt does not answer now.'
}

function ofReceipt(reply: ReceiptReply): FoundRecords {
  const nothing = { records: [], searched: [], notSearched: 0 }
  if (reply.type !== 'found') return { ...nothing, verdict: 'unknown', message: REPLIES[reply.type] }
  const { records } = reply
  const inKafka = records.filter(({ state }) => state === 'inKafka')
  const waiting = records.filter(({ state }) => state === 'waiting')
  const failed = records.find(({ state }) => !['inKafka', 'waiting', 'unknown'].includes(state))
  const why = (failed ?? waiting[0] ?? records.find(({ state }) => state === 'unknown'))?.why
  const counted = `${inKafka.length} of ${records.length} ${records.length === 1 ? 'record is' : 'records are'} in Kafka`
  const undone = waiting.length > 0 ? 'pending' : failed === undefined ? 'unknown' : 'no'
  return {
    ...nothing,
    verdict: inKafka.length === records.length ? 'yes' : undone,
    message: `${counted}${waiting.length > 0 ? `, ${waiting.length} wait` : ''}${why === undefined ? '' : `: ${why}`}.`,
    records: inKafka.slice(0, MAX_NAMED).flatMap(({ partition, offset = -1, timestampMs = -1 }) => {
      if (partition === undefined || offset < 0) return []
      return { partition, offset, ...(timestampMs >= 0 && { timestamp: timestampMs }) }
    })
  }
}
