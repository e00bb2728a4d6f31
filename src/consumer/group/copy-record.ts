import type { KafkaRecord } from '../../core/model.js'

/** A record that does not keep the batch in memory that it was read from, for records that may wait for long. */
export const copyOf = (record: KafkaRecord): KafkaRecord => ({
  ...record,
  key: copied(record.key),
  value: copied(record.value),
  headers: record.headers.map(({ key, value }) => ({ key, value: copied(value) }))
})

const copied = (bytes: Buffer | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes))
