import { errorCodeOf } from '../../../core/error-code-of.js'
import { isoOf } from '../../../core/instants.js'
import type { RecordFailure, RecordOutcome } from '../../../core/model.js'
import type { ApiError } from '../../../http/api/api-answers.js'
import { withPersisted } from '../../../verbs/persisted.js'
import { errorObjectJson } from '../answers.js'
import { type RefusedRecord, recordCodeOf, refusedRecord } from '../failures.js'
import type { SplitEnd } from './object-splitter.js'
import type { DataSize, V3Record } from './record-json.js'

/** The parts of a sent record that its answer repeats. */
export type Repeated = Partial<Pick<V3Record, 'key' | 'value'>>

export class RecordAnswers {
  readonly #names: readonly [clusterId: string, topic: string]
  readonly #place: string
  /** Neighbouring records mostly have the same time. */
  #timestampMs = Number.NaN
  #timestamp = ''

  constructor(clusterId: string, topic: string) {
    this.#names = [clusterId, topic]
    this.#place = `"cluster_id":${JSON.stringify(clusterId)},"topic_name":${JSON.stringify(topic)}`
  }

  areOf(clusterId: string, topic: string): boolean {
    return this.#names[1] === topic && this.#names[0] === clusterId
  }

  of(outcome: RecordOutcome, repeated: Repeated): string {
    if (outcome.type === 'delivered') return `{"error_code":200,${this.placed(outcome, repeated)}}`
    const { code, message } = problemOfFailure(outcome)
    return errorObjectJson(code, message)
  }

  /** The members of a record that is in Kafka. */
  placed(
    { partition, offset, timestampMs }: Extract<RecordOutcome, { type: 'delivered' }>,
    { key, value }: Repeated
  ): string {
    if (timestampMs !== this.#timestampMs) {
      this.#timestampMs = timestampMs
      this.#timestamp = timestampJson(timestampMs)
    }
    const sizes = sizeJson('key', key) + sizeJson('value', value)
    return `${this.#place},"partition_id":${partition},"offset":${offset},"timestamp":${this.#timestamp}${sizes}`
  }
}

/** `null` for a time that has no text: a broker may answer any number. */
function timestampJson(timestampMs: number): string {
  const text = isoOf(timestampMs)
  return text === null ? 'null' : `"${text.replace('.000Z', 'Z')}"`
}

const sizeJson = (name: string, data: DataSize | undefined): string =>
  data === undefined ? '' : `,"${name}":{"type":"${data.type}"${schemaJson(data)},"size":${data.size}}`

const schemaJson = ({ schema }: DataSize): string =>
  schema === undefined
    ? ''
    : `,"subject":${JSON.stringify(schema.subject)},"schema_id":${schema.id},"schema_version":${schema.version}`

/** The text says whether the record is in Kafka: a stream has no header for it. */
export const problemOfFailure = (failure: RecordFailure) => ({
  code: recordCodeOf(failure, 'v3'),
  message: withPersisted(failure.message, failure.persisted)
})

/** The refusal of one record among several. Codes that have 422 or 503 as their status, such as 42206, are 422 or 503 here. */
export const refusalOfBody = ({ status, message, details: { code = status, cause } }: ApiError): RefusedRecord =>
  refusedRecord(status === 422 || status === 503 ? status : code, message, cause && errorCodeOf(cause))

/**
 * The refusal of the record at which a body ends too early; `cut`: its end has not come, `notJson`: the last one has an
 * answer.
 *
 * @param place where it begins: `line 3 column 1`
 */
export function refusalOfEnd(
  end: SplitEnd | 'cut' | 'notJson',
  place: string,
  maxRecordBytes: number
): RefusedRecord | undefined {
  if (end === 'notJson') return undefined
  return end === 'tooLarge'
    ? {
        ...refusedRecord(413, `a record is larger than ${maxRecordBytes} bytes (apis.confluent.maxBodyBytes)`),
        setting: 'apis.confluent.maxBodyBytes'
      }
    : refusedRecord(400, `${WORDS_OF_END[end]} ${place}`)
}

const WORDS_OF_END = {
  cut: 'the body ends inside a record, which begins at',
  broken: 'what follows is not a JSON object, at',
  encoding: 'what follows begins with a byte order mark (BOM), or is UTF-16: send UTF-8 without one. It begins at'
} as const satisfies Partial<Record<SplitEnd | 'cut', string>>
