import { ERROR_CODES } from '../../core/errors.js'
import type { RecordHeader, TopicPartition } from '../../core/model.js'
import {
  bytes,
  errorCode,
  flag,
  list,
  MANY,
  nullable,
  number,
  oneOf,
  optional,
  shape,
  small,
  text,
  whole
} from './checks.js'

/** Checks of members that several calls have. */

export const FAILURE = {
  errorCode: optional(errorCode),
  code: oneOf(...ERROR_CODES),
  message: text,
  retriable: flag,
  setting: optional(text)
}

export const PLACE = { topic: text, partition: small }
export const topicPartition = shape<TopicPartition>(PLACE)

export const headers = list(shape<RecordHeader>({ key: text, value: nullable(bytes) }), MANY)
export const RECORD = {
  ...PLACE,
  key: nullable(bytes),
  value: nullable(bytes),
  headers,
  offset: whole,
  timestampMs: number
}
