import type { ErrorCode } from '../../../core/errors.js'
import type { RecordFailure } from '../../../core/model.js'

const failure = (code: ErrorCode, message: string): RecordFailure => ({
  type: 'failed',
  code,
  errorCode: undefined,
  message,
  persisted: 'no',
  retriable: code === 'overloaded'
})

/** Why records are refused before they reach delivery. */
export const ekafFailures = {
  downtimeBufferFull: (topic: string, limit: number) =>
    failure(
      'overloaded',
      `no broker can be reached, and ${limit} records of ${topic} wait already (apis.kafboy.maxDowntimeRecords)`
    ),
  batchBufferFull: (limit: number) =>
    failure(
      'overloaded',
      `the records of batch routes that wait are full (limit ${limit}; apis.kafboy.maxBufferBytes)`
    ),
  stopped: () => failure('shuttingDown', 'the process stopped before there was room for the record'),
  tooManyWaiting: () => failure('overloaded', 'too many records wait until the partitions of their topics are known'),
  notPicked: (topic: string) => failure('unknownPartition', `the hook pickPartition has refused a record of ${topic}`)
} as const
